import java.lang.management.ManagementFactory;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Interop peer over Apache RocketMQ's Java remoting client.
 *
 * <pre>
 * produce NAMESRV TOPIC COUNT        [--mode sync|async|oneway|batch|ordered|delay|tx|request|requestsync] ...
 * consume NAMESRV TOPIC GROUP COUNT  [--mode push|orderly|reply|litepull|assign|pull] ...
 * </pre>
 *
 * Prints one JSON line, and "ready" to stderr when a push consumer is up. Exit status 0 when every message was sent or received, 1 otherwise.
 */
public final class Interop {
    private static final long START = ManagementFactory.getRuntimeMXBean().getStartTime();

    private final Map<String, String> options = new HashMap<>();
    private final List<String> setters = new ArrayList<>();
    private final List<String> words = new ArrayList<>();

    private final AtomicLong firstMs = new AtomicLong(-1);
    private final AtomicInteger ok = new AtomicInteger();
    private final Map<String, AtomicInteger> notes = new ConcurrentHashMap<>();

    public static void main(String[] args) throws Exception {
        Interop self = new Interop(args);
        boolean good = self.run();
        System.out.flush();
        Runtime.getRuntime().halt(good ? 0 : 1);
    }

    private Interop(String[] args) {
        for (int i = 0; i < args.length; i++) {
            if (!args[i].startsWith("--")) {
                words.add(args[i]);
            } else if (args[i].equals("--set")) {
                setters.add(args[++i]);
            } else {
                options.put(args[i].substring(2), args[++i]);
            }
        }
    }

    private String option(String name, String fallback) {
        return options.getOrDefault(name, fallback);
    }

    private long timeoutMs() {
        return Long.parseLong(option("timeout", "60")) * 1000;
    }

    private boolean run() throws Exception {
        if (words.size() == 4 && words.get(0).equals("produce")) {
            return produce(words.get(1), words.get(2), Integer.parseInt(words.get(3)));
        }
        if (words.size() == 5 && words.get(0).equals("consume")) {
            return consume(words.get(1), words.get(2), words.get(3), Integer.parseInt(words.get(4)));
        }
        System.err.println("usage: produce NAMESRV TOPIC COUNT | consume NAMESRV TOPIC GROUP COUNT  [--name value]...");
        return false;
    }

    // ---- produce -------------------------------------------------------------------------

    private boolean produce(String namesrv, String topic, int count) throws Exception {
        String mode = option("mode", "sync");
        String group = option("group", "interop_java_producer");
        boolean trace = Boolean.parseBoolean(option("trace", "false"));
        AtomicInteger checks = new AtomicInteger();
        DefaultMQProducer producer;
        if (mode.equals("tx")) {
            TransactionMQProducer tx = new TransactionMQProducer(group);
            tx.setTransactionListener(new TransactionListener() {
                @Override
                public LocalTransactionState executeLocalTransaction(Message msg, Object arg) {
                    switch ((Integer) arg % 3) {
                        case 0: return LocalTransactionState.COMMIT_MESSAGE;
                        case 1: return LocalTransactionState.ROLLBACK_MESSAGE;
                        default: return LocalTransactionState.UNKNOW;
                    }
                }

                @Override
                public LocalTransactionState checkLocalTransaction(MessageExt msg) {
                    checks.incrementAndGet();
                    return LocalTransactionState.COMMIT_MESSAGE;
                }
            });
            producer = tx;
        } else {
            producer = new DefaultMQProducer(group, trace, null);
        }
        producer.setNamesrvAddr(namesrv);
        producer.setSendMsgTimeout(5000);
        applySetters(producer);
        producer.start();
        long started = sinceStart();

        long deadline = System.currentTimeMillis() + timeoutMs();
        String firstMsgId = null;
        if (mode.equals("batch")) {
            List<Message> batch = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                batch.add(message(topic, i));
                if (batch.size() == 50 || i == count - 1) {
                    accept(producer.send(batch), batch.size());
                    batch = new ArrayList<>();
                }
            }
        } else if (mode.equals("async")) {
            Semaphore window = new Semaphore(64);
            CountDownLatch done = new CountDownLatch(count);
            for (int i = 0; i < count && System.currentTimeMillis() < deadline; i++) {
                window.acquire();
                producer.send(message(topic, i), new SendCallback() {
                    @Override
                    public void onSuccess(SendResult result) {
                        accept(result, 1);
                        release();
                    }

                    @Override
                    public void onException(Throwable e) {
                        note(e.getClass().getSimpleName());
                        release();
                    }

                    private void release() {
                        window.release();
                        done.countDown();
                    }
                });
            }
            done.await(Math.max(0, deadline - System.currentTimeMillis()), TimeUnit.MILLISECONDS);
        } else {
            for (int i = 0; i < count && System.currentTimeMillis() < deadline; i++) {
                Message msg = message(topic, i);
                try {
                    switch (mode) {
                        case "oneway":
                            producer.sendOneway(msg);
                            accept(null, 1);
                            break;
                        case "ordered":
                            accept(producer.send(msg, (queues, m, key) -> queues.get((Integer) key % queues.size()), i), 1);
                            break;
                        case "tx":
                            accept(producer.sendMessageInTransaction(msg, i), 1);
                            break;
                        case "request":
                            request(producer, msg);
                            break;
                        case "requestsync": // 5.x fails at once, when the request is stored (Apache PR 4313)
                            takeReply(msg, producer.request(msg, 5000));
                            break;
                        default:
                            SendResult result = producer.send(msg);
                            if (firstMsgId == null) {
                                firstMsgId = result.getMsgId() + "/" + result.getOffsetMsgId();
                            }
                            accept(result, 1);
                    }
                } catch (Exception e) {
                    note(e.getClass().getSimpleName() + ":" + String.valueOf(e.getMessage()).split("\n")[0]);
                }
            }
        }
        long total = sinceStart();
        linger();
        producer.shutdown();
        if (checks.get() > 0) {
            note("txChecks", checks.get());
        }
        if (firstMsgId != null) {
            note("id:" + firstMsgId);
        }
        print("produce", mode, count, ok.get(), started, total);
        return ok.get() == count;
    }

    /** Message i of the run: body "PREFIX-i" padded to --size, keys "k-i", optional tag and property. */
    private Message message(String topic, int i) throws Exception {
        StringBuilder body = new StringBuilder(option("body", "m")).append('-').append(i);
        int size = Integer.parseInt(option("size", "0"));
        while (body.length() < size) {
            body.append('.');
        }
        String[] tags = option("tag", "").split(",");
        Message msg = new Message(topic, tags[i % tags.length], "k-" + i, body.toString().getBytes(StandardCharsets.UTF_8));
        if (options.containsKey("prop")) {
            msg.putUserProperty(option("prop", ""), String.valueOf(i));
        }
        if (option("mode", "sync").equals("delay")) {
            msg.setDelayTimeLevel(Integer.parseInt(option("level", "1")));
        }
        if (options.containsKey("delayms")) {
            Message.class.getMethod("setDelayTimeMs", long.class).invoke(msg, Long.parseLong(option("delayms", "0")));
        }
        return msg;
    }

    private void request(DefaultMQProducer producer, Message msg) throws Exception {
        CountDownLatch done = new CountDownLatch(1);
        producer.request(msg, new RequestCallback() {
            @Override
            public void onSuccess(Message reply) {
                if (reply == null) { // 5.x calls back once too often: when the request is stored (Apache PR 4313)
                    note("callbackWithoutReply");
                    return;
                }
                takeReply(msg, reply);
                done.countDown();
            }

            @Override
            public void onException(Throwable e) {
                note(e.getClass().getSimpleName() + ":" + e.getMessage());
                done.countDown();
            }
        }, 5000);
        done.await(10, TimeUnit.SECONDS);
    }

    /** Counts a reply only where it is the one that belongs to its request. */
    private void takeReply(Message request, Message reply) {
        String text = new String(reply.getBody(), StandardCharsets.UTF_8);
        if (text.equals("reply-" + new String(request.getBody(), StandardCharsets.UTF_8))) {
            accept(null, 1);
        } else {
            note("wrongReply:" + text);
        }
    }

    private void accept(SendResult result, int messages) {
        if (result == null || result.getSendStatus() == SendStatus.SEND_OK) {
            firstMs.compareAndSet(-1, sinceStart());
            ok.addAndGet(messages);
        } else {
            note(result.getSendStatus().name(), messages);
        }
    }

    // ---- consume -------------------------------------------------------------------------

    private final Set<Integer> seen = ConcurrentHashMap.newKeySet();
    private final Map<Integer, Integer> last = new ConcurrentHashMap<>();
    private final AtomicInteger received = new AtomicInteger();

    private boolean consume(String namesrv, String topic, String group, int count) throws Exception {
        String mode = option("mode", "push");
        switch (mode) {
            case "litepull":
            case "assign":
                return litePull(namesrv, topic, group, count, mode);
            case "pull":
                return pull(namesrv, topic, group, count);
            default:
                return push(namesrv, topic, group, count, mode);
        }
    }

    private MessageSelector selector() {
        return options.containsKey("sql")
            ? MessageSelector.bySql(option("sql", ""))
            : MessageSelector.byTag(option("tag", "*"));
    }

    private boolean push(String namesrv, String topic, String group, int count, String mode) throws Exception {
        DefaultMQPushConsumer consumer =
            new DefaultMQPushConsumer(group, Boolean.parseBoolean(option("trace", "false")), null);
        consumer.setNamesrvAddr(namesrv);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        applySetters(consumer);
        consumer.subscribe(topic, selector());
        CountDownLatch done = new CountDownLatch(1);
        Set<String> failed = ConcurrentHashMap.newKeySet();
        boolean failFirst = Boolean.parseBoolean(option("fail-first", "false"));
        DefaultMQProducer replier = mode.equals("reply") ? new DefaultMQProducer(group + "_replier") : null;
        if (replier != null) {
            replier.setNamesrvAddr(namesrv);
            replier.start();
        }
        if (mode.equals("orderly")) {
            consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
                if (failFirst && failed.add(body(messages.get(0)))) {
                    note("failedOnce");
                    return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
                }
                take(messages, count, done);
                return ConsumeOrderlyStatus.SUCCESS;
            });
        } else {
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                if (failFirst && failed.add(body(messages.get(0)))) {
                    note("failedOnce");
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
                if (replier != null) {
                    for (MessageExt msg : messages) {
                        try {
                            replier.send(MessageUtil.createReplyMessage(msg, ("reply-" + body(msg)).getBytes(StandardCharsets.UTF_8)), 5000);
                        } catch (Exception e) {
                            note(e.getClass().getSimpleName() + ":" + e.getMessage());
                        }
                    }
                }
                take(messages, count, done);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
        }
        consumer.start();
        System.err.println("ready");
        long started = sinceStart();
        done.await(timeoutMs(), TimeUnit.MILLISECONDS);
        long total = sinceStart();
        linger();
        consumer.shutdown();
        if (replier != null) {
            replier.shutdown();
        }
        print("consume", mode, count, seen.size(), started, total);
        return seen.size() >= count;
    }

    private boolean litePull(String namesrv, String topic, String group, int count, String mode) throws Exception {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(group);
        consumer.setNamesrvAddr(namesrv);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        applySetters(consumer);
        if (mode.equals("litepull")) {
            consumer.subscribe(topic, selector());
        }
        consumer.start();
        if (mode.equals("assign")) {
            consumer.assign(consumer.fetchMessageQueues(topic));
            for (MessageQueue queue : consumer.fetchMessageQueues(topic)) {
                if (options.containsKey("since")) {
                    consumer.seek(queue, consumer.offsetForTimestamp(queue, Long.parseLong(option("since", "0"))));
                } else {
                    consumer.seekToBegin(queue);
                }
            }
        }
        long started = sinceStart();
        long deadline = System.currentTimeMillis() + timeoutMs();
        CountDownLatch done = new CountDownLatch(1);
        while (done.getCount() > 0 && System.currentTimeMillis() < deadline) {
            take(consumer.poll(1000), count, done);
        }
        consumer.commitSync();
        long total = sinceStart();
        linger();
        consumer.shutdown();
        print("consume", mode, count, seen.size(), started, total);
        return seen.size() >= count;
    }

    @SuppressWarnings("deprecation")
    private boolean pull(String namesrv, String topic, String group, int count) throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(group);
        consumer.setNamesrvAddr(namesrv);
        applySetters(consumer);
        consumer.start();
        long started = sinceStart();
        long deadline = System.currentTimeMillis() + timeoutMs();
        CountDownLatch done = new CountDownLatch(1);
        for (MessageQueue queue : consumer.fetchSubscribeMessageQueues(topic)) {
            long offset = consumer.searchOffset(queue, Long.parseLong(option("since", "0")));
            note("storedOffset:" + consumer.fetchConsumeOffset(queue, true));
            note("min" + consumer.minOffset(queue) + "max" + consumer.maxOffset(queue));
            while (System.currentTimeMillis() < deadline) {
                PullResult result = consumer.pull(queue, option("tag", "*"), offset, 32);
                offset = result.getNextBeginOffset();
                if (result.getPullStatus() == PullStatus.FOUND) {
                    take(result.getMsgFoundList(), count, done);
                } else if (result.getPullStatus() != PullStatus.NO_MATCHED_MSG) {
                    break;
                }
            }
            consumer.updateConsumeOffset(queue, offset);
        }
        long total = sinceStart();
        linger();
        consumer.shutdown();
        print("consume", "pull", count, seen.size(), started, total);
        return seen.size() >= count;
    }

    private static String body(MessageExt msg) {
        return new String(msg.getBody(), StandardCharsets.UTF_8);
    }

    /** The number of a message whose body and key are what a producer of this family sends, -1 for any other. */
    private int number(MessageExt msg) {
        Matcher text = Pattern.compile(Pattern.quote(option("body", "m")) + "-(\\d+)\\.*").matcher(body(msg));
        boolean sized = msg.getBody().length >= Integer.parseInt(option("size", "0"));
        if (!text.matches() || !sized) {
            note("wrongBody:" + body(msg).substring(0, Math.min(40, body(msg).length())));
            return -1;
        }
        if (!option("keys", "numbered").equals("none") && !("k-" + text.group(1)).equals(msg.getKeys())) {
            note("wrongKey:" + msg.getKeys());
            return -1;
        }
        return Integer.parseInt(text.group(1));
    }

    private void take(List<MessageExt> messages, int count, CountDownLatch done) {
        for (MessageExt msg : messages == null ? Collections.<MessageExt>emptyList() : messages) {
            firstMs.compareAndSet(-1, sinceStart());
            received.incrementAndGet();
            int number = number(msg);
            if (number >= 0) {
                seen.add(number);
                Integer before = last.put(msg.getQueueId(), number);
                if (option("mode", "push").equals("orderly") && before != null && before > number) {
                    note("outOfOrder");
                }
            }
            if (msg.getReconsumeTimes() > 0) {
                note("reconsumed");
            }
        }
        if (seen.size() >= count) {
            done.countDown();
        }
    }

    // ---- shared --------------------------------------------------------------------------

    /** Applies every --set name=value through the client's own setter of that name. */
    private void applySetters(Object client) throws Exception {
        for (String pair : setters) {
            String name = pair.substring(0, pair.indexOf('='));
            String value = pair.substring(pair.indexOf('=') + 1);
            String setter = "set" + Character.toUpperCase(name.charAt(0)) + name.substring(1);
            boolean applied = false;
            for (Method method : client.getClass().getMethods()) {
                if (!method.getName().equals(setter) || method.getParameterCount() != 1) {
                    continue;
                }
                Object converted = convert(method.getParameterTypes()[0], value);
                if (converted != null) {
                    method.invoke(client, converted);
                    applied = true;
                    break;
                }
            }
            if (!applied) {
                throw new IllegalArgumentException("no setter for " + pair);
            }
        }
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static Object convert(Class<?> type, String value) {
        if (type == String.class) {
            return value;
        } else if (type == boolean.class) {
            return Boolean.valueOf(value);
        } else if (type == int.class) {
            return Integer.valueOf(value);
        } else if (type == long.class) {
            return Long.valueOf(value);
        } else if (type.isEnum()) {
            return Enum.valueOf((Class<Enum>) type, value);
        }
        return null;
    }

    /** Stays up --linger seconds so that heartbeats, offset commits and broker requests happen. */
    private void linger() throws InterruptedException {
        Thread.sleep(Long.parseLong(option("linger", "0")) * 1000);
    }

    private static long sinceStart() {
        return System.currentTimeMillis() - START;
    }

    private void note(String name) {
        note(name, 1);
    }

    private void note(String name, int times) {
        notes.computeIfAbsent(name, k -> new AtomicInteger()).addAndGet(times);
    }

    private void print(String op, String mode, int wanted, int good, long started, long total) {
        StringBuilder out = new StringBuilder();
        out.append("{\"client\":\"java\",\"version\":\"").append(MQVersion.getVersionDesc(MQVersion.CURRENT_VERSION))
            .append("\",\"op\":\"").append(op).append("\",\"mode\":\"").append(mode)
            .append("\",\"wanted\":").append(wanted).append(",\"ok\":").append(good)
            .append(",\"received\":").append(received.get())
            .append(",\"sum\":").append(seen.stream().mapToLong(Integer::longValue).sum())
            .append(",\"started_ms\":").append(started).append(",\"first_ms\":").append(firstMs.get())
            .append(",\"total_ms\":").append(total).append(",\"notes\":{");
        String comma = "";
        for (Map.Entry<String, AtomicInteger> e : new TreeMap<>(notes).entrySet()) {
            out.append(comma).append('"').append(e.getKey().split("\n")[0].replace("\\", "/").replace("\"", "'")).append("\":").append(e.getValue());
            comma = ",";
        }
        System.out.println(out.append("}}"));
    }
}
