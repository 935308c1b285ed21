'use strict';
/*
 * Interop peer over ali-ons, a Node.js remoting client.
 *
 *   produce NAMESRV TOPIC COUNT        [--mode sync|parallel|delay|sharded] ...
 *   consume NAMESRV TOPIC GROUP COUNT  [--mode push|broadcast] ...
 *
 * Prints one JSON line, and "ready" to stderr when the consumer is up. Exit status 0 when every message was sent or received, 1 otherwise.
 */
const { Consumer, Message, Producer } = require('ali-ons');

const start = Date.now() - Math.round(process.uptime() * 1000);
const words = [];
const options = { mode: '', tag: '', body: 'm', size: '0', keys: 'numbered', level: '1', timeout: '60', linger: '0', log: 'false', 'fail-first': 'false' };
for (let i = 2; i < process.argv.length; i++) {
  if (process.argv[i].startsWith('--')) {
    options[process.argv[i].slice(2)] = process.argv[++i];
  } else {
    words.push(process.argv[i]);
  }
}

const notes = {};
const note = name => { notes[name] = (notes[name] || 0) + 1; };
const elapsed = () => Date.now() - start;
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

const print = (level, args) => { if (options.log === 'true') console.error(level, require('util').format(...args)); };
const logger = {
  debug() {},
  info(...args) { print('INFO', args); },
  warn(...args) { print('WARN', args); },
  error(...args) { print('ERROR', args); note(`logged: ${String(args[0] && args[0].message || args[0]).split('\n')[0].slice(0, 160)}`); },
};
// The client asks for an HTTP client even when name servers are given; it is then never called.
const common = nameSrv => ({ nameSrv, httpclient: { request() { throw new Error('no HTTP here'); } }, logger, ...credentials() });

function credentials() {
  return options.ak ? { accessKeyId: options.ak, accessKeySecret: options.sk } : {};
}

/** Message i of the run: body "PREFIX-i" padded to --size, key "k-i". */
function message(topic, i) {
  const tags = options.tag.split(',');
  const msg = new Message(topic, tags[i % tags.length] || '', `${options.body}-${i}`.padEnd(Number(options.size), '.'));
  msg.keys = [ `k-${i}` ];
  if (options.prop) msg.properties[options.prop] = String(i);
  if (options.mode === 'delay') msg.delayTimeLevel = Number(options.level);
  if (options.delayms) msg.setStartDeliverTime(Date.now() + Number(options.delayms));
  if (options.mode === 'sharded') msg.shardingKey = String(i % 4);
  return msg;
}

/** The number of a message whose body and key are what a producer of this family sends, -1 for any other. */
function numberOf(msg) {
  const body = msg.body.toString();
  const text = body.replace(/\.+$/, '');
  const digits = text.slice(options.body.length + 1);
  if (!text.startsWith(`${options.body}-`) || !/^\d+$/.test(digits) || msg.body.length < Number(options.size)) {
    note(`wrongBody:${body.slice(0, 40)}`);
    return -1;
  }
  if (options.keys !== 'none' && String(msg.keys) !== `k-${digits}`) {
    note(`wrongKey:${msg.keys}`);
    return -1;
  }
  return Number(digits);
}

async function produce(nameSrv, topic, count) {
  const result = { op: 'produce', mode: options.mode || 'sync', wanted: count, ok: 0, first_ms: -1 };
  const producer = new Producer({ ...common(nameSrv), producerGroup: options.group || 'interop_node_producer' });
  producer.on('error', err => note(`error: ${err.message}`));
  await producer.ready();
  result.started_ms = elapsed();
  const one = async i => {
    try {
      const sent = await producer.send(message(topic, i));
      if (result.first_ms < 0) {
        result.first_ms = elapsed();
        note(`id:${sent.msgId}/${sent.offsetMsgId}`);
      }
      if (sent.sendStatus === 'SEND_OK') result.ok++;
      else note(String(sent.sendStatus));
    } catch (err) {
      note(`${err.name}: ${err.message}`);
    }
  };
  if (options.mode === 'parallel') {
    for (let i = 0; i < count; i += 50) {
      await Promise.all(Array.from({ length: Math.min(50, count - i) }, (_, k) => one(i + k)));
    }
  } else {
    for (let i = 0; i < count && elapsed() < options.timeout * 1000; i++) await one(i);
  }
  result.total_ms = elapsed();
  await sleep(options.linger * 1000);
  await producer.close();
  return result;
}

async function consume(nameSrv, topic, group, count) {
  const result = { op: 'consume', mode: options.mode || 'push', wanted: count, first_ms: -1 };
  let received = 0;
  const consumer = new Consumer({
    ...common(nameSrv), consumerGroup: group, consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
    isBroadcast: options.mode === 'broadcast', parallelConsumeLimit: 16,
  });
  consumer.on('error', err => note(`error: ${err.message.slice(0, 200)}`));
  const seen = new Set();
  const failed = new Set();
  let done;
  const all = new Promise(resolve => { done = resolve; });
  const expression = options.sql ? { expressionType: 'SQL92', subString: options.sql } : options.tag || '*';
  consumer.subscribe(topic, expression, async msg => {
    if (result.first_ms < 0) result.first_ms = elapsed();
    const body = msg.body.toString().replace(/\.+$/, '');
    if (options['fail-first'] === 'true' && !failed.has(body)) {
      failed.add(body);
      note('failedOnce');
      return Consumer.ACTION_RETRY;
    }
    received++;
    if (msg.reconsumeTimes > 0) note('reconsumed');
    const i = numberOf(msg);
    if (i >= 0) seen.add(i);
    if (seen.size >= count) done();
  });
  await consumer.ready();
  console.error('ready');
  result.started_ms = elapsed();
  await Promise.race([ all, sleep(options.timeout * 1000) ]);
  result.total_ms = elapsed();
  result.ok = seen.size;
  result.sum = [ ...seen ].reduce((a, b) => a + b, 0);
  await sleep(options.linger * 1000);
  result.received = received;
  await consumer.close();
  return result;
}

(async () => {
  let result;
  if (words[0] === 'produce' && words.length === 4) result = await produce(words[1], words[2], Number(words[3]));
  else if (words[0] === 'consume' && words.length === 5) result = await consume(words[1], words[2], words[3], Number(words[4]));
  else throw new Error('usage: produce NAMESRV TOPIC COUNT | consume NAMESRV TOPIC GROUP COUNT');
  console.log(JSON.stringify({ client: 'node', version: require('ali-ons/package.json').version, ...result, notes }));
  // close() leaves timers and the shared inner producer behind
  process.exit(result.ok >= result.wanted ? 0 : 1);
})().catch(err => {
  console.error('fatal:', err.message);
  process.exit(1);
});
