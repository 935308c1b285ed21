// Interop peer over Apache RocketMQ's Go remoting client.
//
//	produce NAMESRV TOPIC COUNT        [--mode sync|async|oneway|batch|ordered|delay|tx|request] ...
//	consume NAMESRV TOPIC GROUP COUNT  [--mode push|orderly|broadcast|reply|poll|pullfrom] ...
//	create  NAMESRV TOPIC...           --broker HOST:PORT
//	admin   NAMESRV TOPIC              [--broker HOST:PORT]  create, list, queues, groups, delete
//
// Prints one JSON line, and "ready" to stderr when a push consumer is up. Exit status 0 when every message was sent or received, 1 otherwise.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

var (
	start = time.Now()

	mode      = flag.String("mode", "", "see above")
	group     = flag.String("group", "interop_go_producer", "producer group")
	tag       = flag.String("tag", "", "produce: comma-separated tags, used in turn; consume: expression")
	sql       = flag.String("sql", "", "consume: SQL92 filter")
	prop      = flag.String("prop", "", "produce: user property that gets the message's number")
	bodyText  = flag.String("body", "m", "body prefix")
	size      = flag.Int("size", 0, "produce: pad the body to this many bytes; consume: refuse shorter ones")
	keys      = flag.String("keys", "numbered", "consume: none = do not check the key")
	level     = flag.Int("level", 1, "produce --mode delay: delay level")
	trace     = flag.Bool("trace", false, "send message traces")
	reconsume = flag.Int("max-reconsume", -1, "consume: how often a message is tried again before it is given up; -1 as the client likes")
	failFirst = flag.Bool("fail-first", false, "consume: fail every message once")
	linger    = flag.Int("linger", 0, "seconds to stay up after the last message")
	limit     = flag.Int("timeout", 60, "seconds")
	vip       = flag.Bool("vip", false, "use the VIP channel (broker port - 2)")
	broker    = flag.String("broker", "", "admin: broker address")
	logLevel  = flag.String("log", "error", "client log level")
)

// A broker pushes a reply to a producer that it knows from a heartbeat: this client sends its first after a second, to the
// brokers whose routes it has used by then, and the next after thirty.
const firstHeartbeat = 1500 * time.Millisecond

type result struct {
	mu        sync.Mutex
	seen      map[int]bool
	last      map[int]int // by queue
	ok        int
	received  int
	firstMs   int64
	startedMs int64
	notes     map[string]int
	done      chan struct{}
	wanted    int
}

func newResult(wanted int) *result {
	return &result{seen: map[int]bool{}, last: map[int]int{}, notes: map[string]int{}, firstMs: -1, done: make(chan struct{}), wanted: wanted}
}

func (r *result) accept(n int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.notes[err.Error()]++
		return
	}
	if r.firstMs < 0 {
		r.firstMs = time.Since(start).Milliseconds()
	}
	r.ok += n
}

func (r *result) note(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes[name]++
}

func (r *result) take(msgs []*primitive.MessageExt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range msgs {
		if r.firstMs < 0 {
			r.firstMs = time.Since(start).Milliseconds()
		}
		r.received++
		if m.ReconsumeTimes > 0 {
			r.notes["reconsumed"]++
		}
		before := len(r.seen)
		if i, wrong := numberOf(m); wrong == "" {
			r.seen[i] = true
			if *mode == "orderly" && r.last[m.Queue.QueueId] > i {
				r.notes["outOfOrder"]++
			}
			r.last[m.Queue.QueueId] = i
		} else {
			r.notes[wrong]++
		}
		if len(r.seen) == r.wanted && before < r.wanted {
			close(r.done)
		}
	}
	r.ok = len(r.seen)
}

// numberOf tells the number of a message whose body and key are what a producer of this family sends, else what is wrong.
func numberOf(m *primitive.MessageExt) (int, string) {
	text := strings.TrimRight(string(m.Body), ".")
	digits, found := strings.CutPrefix(text, *bodyText+"-")
	i, err := strconv.Atoi(digits)
	if !found || err != nil || len(m.Body) < *size {
		return 0, fmt.Sprintf("wrongBody:%.40s", text)
	}
	if *keys != "none" && m.GetKeys() != "k-"+digits {
		return 0, "wrongKey:" + m.GetKeys()
	}
	return i, ""
}

func (r *result) wait() {
	select {
	case <-r.done:
	case <-time.After(time.Duration(*limit) * time.Second):
	}
}

func (r *result) print(op string, totalMs int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := 0
	for i := range r.seen {
		sum += i
	}
	line, _ := json.Marshal(map[string]any{
		"client": "go", "op": op, "mode": *mode, "wanted": r.wanted, "ok": r.ok, "received": r.received, "sum": sum,
		"started_ms": r.startedMs, "first_ms": r.firstMs, "total_ms": totalMs, "notes": r.notes,
	})
	fmt.Println(string(line))
}

func main() {
	words, flags := []string{}, []string{}
	for i := 1; i < len(os.Args); i++ {
		if strings.HasPrefix(os.Args[i], "--") && i+1 < len(os.Args) {
			flags = append(flags, os.Args[i]+"="+os.Args[i+1])
			i++
		} else {
			words = append(words, os.Args[i])
		}
	}
	if err := flag.CommandLine.Parse(flags); err != nil {
		os.Exit(2)
	}
	rlog.SetLogLevel(*logLevel)
	var r *result
	var op string
	switch {
	case len(words) == 4 && words[0] == "produce":
		op, r = "produce", produce(words[1], words[2], number(words[3]))
	case len(words) == 5 && words[0] == "consume":
		op, r = "consume", consume(words[1], words[2], words[3], number(words[4]))
	case len(words) > 2 && words[0] == "create":
		op, r = "create", create(words[1], words[2:])
	case len(words) == 3 && words[0] == "admin":
		op, r = "admin", administer(words[1], words[2])
	default:
		fmt.Fprintln(os.Stderr, "usage: produce NAMESRV TOPIC COUNT | consume NAMESRV TOPIC GROUP COUNT | create NAMESRV TOPIC... | admin NAMESRV TOPIC")
		os.Exit(2)
	}
	r.print(op, time.Since(start).Milliseconds()-int64(*linger)*1000)
	if r.ok < r.wanted {
		os.Exit(1)
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	check(err)
	return n
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "fatal:", err)
		os.Exit(1)
	}
}

func rest() { time.Sleep(time.Duration(*linger) * time.Second) }

func traceConfig(namesrv string) *primitive.TraceConfig {
	return &primitive.TraceConfig{
		GroupName:    "interop_go_trace",
		Access:       primitive.Local,
		NamesrvAddrs: []string{namesrv},
		Resolver:     primitive.NewPassthroughResolver([]string{namesrv}),
	}
}

// message builds message i of the run: body "PREFIX-i" padded to --size, key "k-i".
func message(topic string, i int) *primitive.Message {
	text := *bodyText + "-" + strconv.Itoa(i)
	if pad := *size - len(text); pad > 0 {
		text += strings.Repeat(".", pad)
	}
	m := primitive.NewMessage(topic, []byte(text)).WithKeys([]string{"k-" + strconv.Itoa(i)})
	if *tag != "" {
		tags := strings.Split(*tag, ",")
		m.WithTag(tags[i%len(tags)])
	}
	if *prop != "" {
		m.WithProperty(*prop, strconv.Itoa(i))
	}
	if *mode == "delay" {
		m.WithDelayTimeLevel(*level)
	}
	if *mode == "ordered" {
		m.WithShardingKey(strconv.Itoa(i % 4))
	}
	return m
}

type listener struct{ r *result }

func (l *listener) ExecuteLocalTransaction(m *primitive.Message) primitive.LocalTransactionState {
	i := number(strings.TrimPrefix(m.GetKeys(), "k-"))
	return []primitive.LocalTransactionState{primitive.CommitMessageState, primitive.RollbackMessageState, primitive.UnkonwnState}[i%3]
}

func (l *listener) CheckLocalTransaction(*primitive.MessageExt) primitive.LocalTransactionState {
	l.r.note("txChecks")
	return primitive.CommitMessageState
}

func produce(namesrv, topic string, count int) *result {
	r := newResult(count)
	if *mode == "" {
		*mode = "sync"
	}
	options := []producer.Option{
		producer.WithGroupName(*group), producer.WithRetry(2), producer.WithVIPChannel(*vip),
		producer.WithNsResolver(primitive.NewPassthroughResolver([]string{namesrv})),
	}
	if *trace {
		options = append(options, producer.WithTrace(traceConfig(namesrv)))
	}
	if *mode == "ordered" {
		options = append(options, producer.WithQueueSelector(producer.NewHashQueueSelector()))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(*limit)*time.Second)
	defer cancel()
	if *mode == "tx" {
		p, err := rocketmq.NewTransactionProducer(&listener{r}, options...)
		check(err)
		check(p.Start())
		r.startedMs = time.Since(start).Milliseconds()
		for i := 0; i < count; i++ {
			_, err := p.SendMessageInTransaction(ctx, message(topic, i))
			r.accept(1, err)
		}
		rest()
		check(p.Shutdown())
		return r
	}
	p, err := rocketmq.NewProducer(options...)
	check(err)
	check(p.Start())
	r.startedMs = time.Since(start).Milliseconds()
	switch *mode {
	case "batch":
		for i := 0; i < count; {
			var batch []*primitive.Message
			for ; i < count && len(batch) < 50; i++ {
				batch = append(batch, message(topic, i))
			}
			_, err := p.SendSync(ctx, batch...)
			r.accept(len(batch), err)
		}
	case "async":
		var left sync.WaitGroup
		window := make(chan struct{}, 64)
		var sent atomic.Int64
		for i := 0; i < count; i++ {
			left.Add(1)
			window <- struct{}{}
			err := p.SendAsync(ctx, func(_ context.Context, _ *primitive.SendResult, err error) {
				r.accept(1, err)
				<-window
				left.Done()
			}, message(topic, i))
			check(err)
			sent.Add(1)
		}
		left.Wait()
	default:
		for i := 0; i < count; i++ {
			switch *mode {
			case "oneway":
				r.accept(1, p.SendOneWay(ctx, message(topic, i)))
			case "request":
				if i == 0 {
					check(p.SendOneWay(ctx, primitive.NewMessage(topic+"_hello", []byte("hello"))))
					time.Sleep(firstHeartbeat)
				}
				request := message(topic, i)
				reply, err := p.Request(ctx, 10*time.Second, request)
				if err == nil && string(reply.Body) != "reply-"+string(request.Body) {
					err = fmt.Errorf("wrongReply:%s", reply.Body)
				}
				r.accept(1, err)
			default:
				sent, err := p.SendSync(ctx, message(topic, i))
				if i == 0 && err == nil {
					r.note("id:" + sent.MsgID + "/" + sent.OffsetMsgID)
				}
				r.accept(1, err)
			}
		}
	}
	rest()
	check(p.Shutdown())
	return r
}

func selector() consumer.MessageSelector {
	if *sql != "" {
		return consumer.MessageSelector{Type: consumer.SQL92, Expression: *sql}
	}
	if *tag != "" {
		return consumer.MessageSelector{Type: consumer.TAG, Expression: *tag}
	}
	return consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}
}

func consume(namesrv, topic, group string, count int) *result {
	if *mode == "" {
		*mode = "push"
	}
	options := []consumer.Option{
		consumer.WithGroupName(group), consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
		consumer.WithVIPChannel(*vip),
		consumer.WithNsResolver(primitive.NewPassthroughResolver([]string{namesrv})),
	}
	if *trace {
		options = append(options, consumer.WithTrace(traceConfig(namesrv)))
	}
	if *reconsume >= 0 {
		options = append(options, consumer.WithMaxReconsumeTimes(int32(*reconsume)))
	}
	switch *mode {
	case "poll":
		return poll(topic, count, options)
	case "pullfrom":
		return pullFrom(namesrv, topic, count, options)
	}
	r := newResult(count)
	if *mode == "orderly" {
		options = append(options, consumer.WithConsumerOrder(true))
	}
	if *mode == "broadcast" {
		options = append(options, consumer.WithConsumerModel(consumer.BroadCasting))
	}
	var replier rocketmq.Producer
	if *mode == "reply" {
		var err error
		replier, err = rocketmq.NewProducer(producer.WithGroupName(group+"_replier"),
			producer.WithNsResolver(primitive.NewPassthroughResolver([]string{namesrv})))
		check(err)
		check(replier.Start())
	}
	c, err := rocketmq.NewPushConsumer(options...)
	check(err)
	var failed sync.Map
	check(c.Subscribe(topic, selector(), func(_ context.Context, msgs ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		if *failFirst {
			if _, again := failed.LoadOrStore(string(msgs[0].Body), true); !again {
				r.note("failedOnce")
				if *mode == "orderly" {
					return consumer.SuspendCurrentQueueAMoment, nil
				}
				return consumer.ConsumeRetryLater, nil
			}
		}
		if replier != nil {
			for _, m := range msgs {
				reply, err := consumer.CreateReplyMessage(m, nil)
				if err == nil {
					reply.Body = []byte("reply-" + string(m.Body))
					_, err = replier.SendSync(context.Background(), reply)
				}
				if err != nil {
					r.note(err.Error())
				}
			}
		}
		r.take(msgs)
		return consumer.ConsumeSuccess, nil
	}))
	check(c.Start())
	fmt.Fprintln(os.Stderr, "ready")
	r.startedMs = time.Since(start).Milliseconds()
	r.wait()
	rest()
	check(c.Shutdown())
	if replier != nil {
		check(replier.Shutdown())
	}
	return r
}

func poll(topic string, count int, options []consumer.Option) *result {
	r := newResult(count)
	c, err := rocketmq.NewPullConsumer(options...)
	check(err)
	check(c.Subscribe(topic, selector()))
	check(c.Start())
	r.startedMs = time.Since(start).Milliseconds()
	deadline := start.Add(time.Duration(*limit) * time.Second)
	for time.Now().Before(deadline) && r.ok < count {
		request, err := c.Poll(context.Background(), time.Second)
		if err != nil {
			if !consumer.IsNoNewMsgError(err) {
				r.note(err.Error())
			}
			continue
		}
		r.take(request.GetMsgList())
		c.ACK(context.Background(), request, consumer.ConsumeSuccess)
	}
	rest()
	check(c.Shutdown())
	return r
}

func pullFrom(namesrv, topic string, count int, options []consumer.Option) *result {
	r := newResult(count)
	c, err := rocketmq.NewPullConsumer(options...)
	check(err)
	check(c.Subscribe(topic, selector()))
	check(c.Start())
	r.startedMs = time.Since(start).Milliseconds()
	a, err := admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver([]string{namesrv})))
	check(err)
	queues, err := a.FetchPublishMessageQueues(context.Background(), topic)
	check(err)
	// at a queue's end a pull waits for twenty seconds: each queue has its own loop, and the last message ends them all
	for _, queue := range queues {
		go pullQueue(c, queue, r)
	}
	r.wait()
	rest()
	check(a.Close())
	check(c.Shutdown())
	return r
}

func pullQueue(c rocketmq.PullConsumer, queue *primitive.MessageQueue, r *result) {
	offset, err := c.OffsetForTimestamp(queue, 0)
	if err != nil {
		r.note("OffsetForTimestamp: " + err.Error())
	}
	for {
		pulled, err := c.PullFrom(context.Background(), queue, offset, 32)
		if err != nil {
			r.note(err.Error())
			return
		}
		if pulled.Status == primitive.PullFound {
			r.take(pulled.GetMessageExts())
		}
		offset = pulled.NextBeginOffset
	}
}

// create makes topics of eight queues on one broker.
func create(namesrv string, topics []string) *result {
	*mode = "topics"
	a, err := admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver([]string{namesrv})))
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(*limit)*time.Second)
	defer cancel()
	r := newResult(len(topics))
	for _, topic := range topics {
		r.accept(1, a.CreateTopic(ctx, admin.WithTopicCreate(topic), admin.WithBrokerAddrCreate(*broker)))
	}
	check(a.Close())
	return r
}

// administer runs every call of the admin client on one topic; `ok` counts those that succeed.
func administer(namesrv, topic string) *result {
	*mode = "all"
	a, err := admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver([]string{namesrv})))
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(*limit)*time.Second)
	defer cancel()
	steps := []struct {
		name string
		call func() (any, error)
	}{
		{"CreateTopic", func() (any, error) {
			return topic, a.CreateTopic(ctx, admin.WithTopicCreate(topic), admin.WithBrokerAddrCreate(*broker))
		}},
		{"FetchAllTopicList", func() (any, error) { l, err := a.FetchAllTopicList(ctx); return l, err }},
		{"FetchPublishMessageQueues", func() (any, error) {
			q, err := a.FetchPublishMessageQueues(ctx, topic)
			return len(q), err
		}},
		{"FetchClusterList", func() (any, error) { l, err := a.FetchClusterList(topic); return l, err }},
		{"GetAllSubscriptionGroup", func() (any, error) {
			w, err := a.GetAllSubscriptionGroup(ctx, *broker, 3*time.Second)
			if err != nil {
				return nil, err
			}
			return len(w.SubscriptionGroupTable), nil
		}},
		{"DeleteTopic", func() (any, error) {
			return topic, a.DeleteTopic(ctx, admin.WithTopicDelete(topic), admin.WithBrokerAddrDelete(*broker),
				admin.WithNameSrvAddr([]string{namesrv}))
		}},
	}
	r := newResult(len(steps))
	for _, step := range steps {
		value, err := step.call()
		if err != nil {
			r.note(step.name + ": " + err.Error())
		} else {
			r.note(fmt.Sprintf("%s: %.120s", step.name, fmt.Sprint(value)))
		}
		if err == nil {
			r.ok++
		}
	}
	rest()
	check(a.Close())
	return r
}
