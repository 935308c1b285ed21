import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.impl.consumer.DefaultMQPushConsumerImpl;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/**
 * Apache's admin tools in one process: what mqadmin prints, and what the calls of the dashboard return. A command a line on stdin, its words
 * divided by tabs; its answer is what it printed, and a line that begins with U+0004: "ok", or the exception.
 *
 * <pre>
 * mqadmin COMMAND WORD...                  a command of mqadmin
 * api METHOD WORD...                       a method of MQAdminExt
 * pull TOPIC BROKER QUEUE OFFSET COUNT     as the dashboard lists a topic's messages
 * produce GROUP TOPIC QUEUE FIRST COUNT TAG [TRACE]   messages with key k-i and body m-i; prints "k-i UNIQUE_ID OFFSET_ID"
 * consume GROUP TOPIC COUNT [MODE]         a push consumer that stays; answers when it has consumed COUNT; MODE is a tag, or fail; prints "GROUP CLIENT_ID"
 * stop GROUP                               the group's clients leave
 * wait MS                                  does nothing for so long
 * </pre>
 */
public final class Admin extends MQAdminStartup {
    private static final long LIMIT_MS = 50_000;
    private static final PrintStream OUT = System.out;
    private static final Map<String, Runnable> CLIENTS = new HashMap<>();
    private static final Map<String, DefaultMQProducer> PRODUCERS = new HashMap<>();
    private static DefaultMQAdminExt admin;

    /** Where a step's thread prints, and those that it starts. */
    private static final InheritableThreadLocal<PrintStream> PRINTING = new InheritableThreadLocal<>();

    private static final class ByThread extends OutputStream {
        @Override
        public void write(int one) {
            write(new byte[] {(byte) one}, 0, 1);
        }

        @Override
        public void write(byte[] bytes, int offset, int length) {
            PrintStream stream = PRINTING.get();
            if (stream != null) {
                stream.write(bytes, offset, length);
            }
        }
    }

    public static void main(String[] args) {
        System.setProperty("rocketmq.namesrv.addr", args[0]);
        System.setOut(new PrintStream(new ByThread(), true));
        System.setErr(System.out);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try {
            for (String line; (line = in.readLine()) != null; ) {
                String[] words = line.split("\t", -1);
                ByteArrayOutputStream printed = new ByteArrayOutputStream();
                String end = limited(words, new PrintStream(printed, true, "UTF-8"));
                String text = printed.toString("UTF-8").replace("\u0004", "?");
                OUT.print(text);
                OUT.println((text.isEmpty() || text.endsWith("\n") ? "" : "\n") + "\u0004" + end);
                OUT.flush();
            }
        } catch (Exception e) {
            e.printStackTrace(OUT);
        }
        Runtime.getRuntime().halt(0);
    }

    /** Runs a step with its own output, and leaves behind one that never ends by itself. */
    private static String limited(String[] words, PrintStream out) throws Exception {
        CompletableFuture<String> done = new CompletableFuture<>();
        Thread thread = new Thread(() -> {
            PRINTING.set(out);
            try {
                run(words[0], Arrays.copyOfRange(words, 1, words.length));
                done.complete("ok");
            } catch (InvocationTargetException e) {
                done.complete(String.valueOf(e.getTargetException()).replaceAll("\\s+", " "));
            } catch (Throwable e) {
                done.complete(String.valueOf(e).replaceAll("\\s+", " "));
            }
        });
        thread.setDaemon(true);
        thread.start();
        boolean endless = words[1].equals("startMonitoring") || words[1].equals("clusterRT");
        long end = System.currentTimeMillis() + (endless ? 3000 : LIMIT_MS);
        while (System.currentTimeMillis() < end) {
            try {
                return done.get(20, TimeUnit.MILLISECONDS);
            } catch (TimeoutException e) {
                hurry(thread);
            }
        }
        return "goes on";
    }

    /** A client that shuts down waits for a thread that looks at its flag every three seconds; it need not. */
    private static void hurry(Thread thread) {
        boolean leaving = false;
        boolean joining = false;
        for (StackTraceElement frame : thread.getStackTrace()) {
            leaving |= frame.getMethodName().equals("shutdown");
            joining |= frame.getMethodName().equals("join");
        }
        if (leaving && joining) {
            thread.interrupt();
        }
    }

    private static void run(String verb, String[] words) throws Exception {
        switch (verb) {
            case "mqadmin":
                commands().clear(); // some keep what they were given
                MQAdminStartup.main0(words, null);
                break;
            case "api":
                api(words[0], Arrays.copyOfRange(words, 1, words.length));
                break;
            case "pull":
                pull(words);
                break;
            case "produce":
                produce(words);
                break;
            case "consume":
                consume(words);
                break;
            case "wait":
                Thread.sleep(Long.parseLong(words[0]));
                break;
            case "stop":
                CLIENTS.remove(words[0]).run();
                PRODUCERS.remove(words[0]);
                break;
            default:
                throw new IllegalArgumentException(verb);
        }
    }

    /** 4.9 has another name for it. */
    private static Collection<?> commands() throws Exception {
        for (Field field : MQAdminStartup.class.getDeclaredFields()) {
            if (field.getType() == List.class) {
                field.setAccessible(true);
                return (Collection<?>) field.get(null);
            }
        }
        throw new NoSuchFieldException("the list of commands");
    }

    // ---- clients -----------------------------------------------------------------------------------------------

    private static void produce(String[] words) throws Exception {
        DefaultMQProducer producer = PRODUCERS.get(words[0]);
        if (producer == null) {
            producer = new DefaultMQProducer(words[0], words.length > 6, null);
            producer.setInstanceName(words[0]);
            producer.start();
            PRODUCERS.put(words[0], producer);
            CLIENTS.put(words[0], producer::shutdown);
        }
        int queue = Integer.parseInt(words[2]);
        int first = Integer.parseInt(words[3]);
        for (int i = first; i < first + Integer.parseInt(words[4]); i++) {
            Message message = new Message(words[1], words[5], "k-" + i, ("m-" + i).getBytes(StandardCharsets.UTF_8));
            SendResult sent = producer.send(message, (queues, m, wanted) ->
                queues.stream().filter(q -> q.getQueueId() == (Integer) wanted).findFirst().get(), queue);
            System.out.println("k-" + i + " " + sent.getMsgId() + " " + sent.getOffsetMsgId());
        }
    }

    private static void consume(String[] words) throws Exception {
        String mode = words.length > 3 ? words[3] : "*";
        Semaphore consumed = new Semaphore(0);
        Set<String> seen = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(words[0]);
        consumer.setInstanceName(words[0]);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        if (mode.equals("fail")) {
            consumer.setMaxReconsumeTimes(0);
        }
        consumer.subscribe(words[1], mode.equals("fail") ? "*" : mode);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                if (seen.add(message.getMsgId())) {
                    consumed.release();
                }
            }
            return mode.equals("fail") ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        CLIENTS.put(words[0], consumer::shutdown);
        if (!consumed.tryAcquire(Integer.parseInt(words[2]), LIMIT_MS - 1000, TimeUnit.MILLISECONDS)) {
            throw new TimeoutException("consumed " + seen.size());
        }
        System.out.println(words[0] + " " + consumer.buildMQClientId());
        Thread.sleep(200); // the listener's answer is noted by its caller
        settle(consumer.getDefaultMQPushConsumerImpl(), "%RETRY%" + words[0]);
        Thread.sleep(200); // told one-way
    }

    /** What a consumer does within its first 20 seconds, at once: it takes the queues of its retry topic, and tells all its offsets. */
    private static void settle(DefaultMQPushConsumerImpl consumer, String retryTopic) throws Exception {
        Set<MessageQueue> queues = consumer.getRebalanceImpl().getProcessQueueTable().keySet();
        for (int i = 0; i < 100 && queues.stream().noneMatch(queue -> queue.getTopic().equals(retryTopic)); i++) {
            consumer.getmQClientFactory().updateTopicRouteInfoFromNameServer(retryTopic);
            consumer.doRebalance();
            Thread.sleep(50);
        }
        for (MessageQueue queue : queues) {
            consumer.getOffsetStore().updateOffset(queue, 0, true);
        }
        consumer.persistConsumerOffset();
    }

    private static void pull(String[] words) throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer("TOOLS_CONSUMER");
        consumer.setInstanceName(Long.toString(System.nanoTime()));
        consumer.start();
        try {
            MessageQueue queue = new MessageQueue(words[0], words[1], Integer.parseInt(words[2]));
            PullResult result = consumer.pull(queue, "*", Long.parseLong(words[3]), Integer.parseInt(words[4]));
            System.out.println(result.getPullStatus() + " " + result.getMinOffset() + " " + result.getNextBeginOffset() + " " + result.getMaxOffset());
            if (result.getMsgFoundList() != null) {
                for (MessageExt message : result.getMsgFoundList()) {
                    System.out.println(message.getQueueOffset() + " " + message.getKeys() + " " + new String(message.getBody(), StandardCharsets.UTF_8));
                }
            }
        } finally {
            consumer.shutdown();
        }
    }

    // ---- MQAdminExt --------------------------------------------------------------------------------------------

    private static void api(String name, String[] words) throws Exception {
        if (admin == null) {
            admin = new DefaultMQAdminExt(5000L);
            admin.setInstanceName("admin");
            admin.start();
        }
        Exception last = new NoSuchMethodException(name + " with " + words.length);
        Method[] methods = DefaultMQAdminExt.class.getMethods();
        Arrays.sort(methods, (a, b) -> a.toString().compareTo(b.toString()));
        for (Method method : methods) {
            if (method.getName().equals(name) && method.getParameterCount() == words.length && !method.isBridge()) {
                Object[] arguments;
                try {
                    arguments = arguments(method.getParameterTypes(), words);
                } catch (RuntimeException e) {
                    last = e;
                    continue;
                }
                Object result = method.invoke(admin, arguments);
                if (method.getReturnType() != void.class) {
                    render("", "=", result, 0);
                }
                return;
            }
        }
        throw last;
    }

    private static Object[] arguments(Class<?>[] types, String[] words) throws Exception {
        Object[] all = new Object[types.length];
        for (int i = 0; i < types.length; i++) {
            all[i] = argument(types[i], words[i]);
        }
        return all;
    }

    private static Object argument(Class<?> type, String word) throws Exception {
        if (word.equals("null")) {
            return null;
        } else if (type == String.class) {
            return word;
        } else if (type == long.class || type == Long.class) {
            return Long.parseLong(word);
        } else if (type == int.class || type == Integer.class) {
            return Integer.parseInt(word);
        } else if (type == boolean.class) {
            if (!word.equals("true") && !word.equals("false")) {
                throw new IllegalArgumentException(word);
            }
            return Boolean.parseBoolean(word);
        } else if (type == Set.class) {
            return new HashSet<>(Arrays.asList(word.split(",")));
        } else if (type == List.class) {
            return new ArrayList<>(Arrays.asList(word.split(",")));
        } else if (type == Map.class) {
            return new HashMap<>();
        } else if (type == MessageQueue.class) {
            String[] parts = word.split("/");
            return new MessageQueue(parts[0], parts[1], Integer.parseInt(parts[2]));
        } else if (type == Properties.class) {
            Properties properties = new Properties();
            properties.setProperty(word.split("=")[0], word.split("=")[1]);
            return properties;
        } else if (type == TopicConfig.class) {
            String[] parts = word.split("/");
            return new TopicConfig(parts[0], Integer.parseInt(parts[1]), Integer.parseInt(parts[1]), Integer.parseInt(parts[2]));
        } else if (type.getSimpleName().equals("SubscriptionGroupConfig")) {
            Object config = type.getConstructor().newInstance();
            type.getMethod("setGroupName", String.class).invoke(config, word);
            return config;
        } else if (type == MessageExt.class) {
            return admin.viewMessage(word.split("/")[0], word.split("/")[1]);
        }
        throw new IllegalArgumentException(type + " of " + word);
    }

    /** A value as indented lines: beans by their fields, what has no order of its own sorted. */
    private static void render(String indent, String name, Object value, int depth) throws Exception {
        String head = indent + name + " ";
        if (value instanceof byte[]) {
            System.out.println(head + new String((byte[]) value, StandardCharsets.UTF_8));
        } else if (value instanceof Map) {
            System.out.println(head + "{" + ((Map<?, ?>) value).size() + "}");
            TreeMap<String, Object> sorted = new TreeMap<>();
            ((Map<?, ?>) value).forEach((key, each) -> sorted.put(String.valueOf(key), each));
            for (Map.Entry<String, Object> entry : sorted.entrySet()) {
                render(indent + "  ", entry.getKey(), entry.getValue(), depth + 1);
            }
        } else if (value instanceof Collection || value != null && value.getClass().isArray()) {
            List<Object> all = new ArrayList<>();
            if (value instanceof Collection) {
                all.addAll((Collection<?>) value);
            } else {
                for (int i = 0; i < Array.getLength(value); i++) {
                    all.add(Array.get(value, i));
                }
            }
            all.sort((a, b) -> value instanceof Set || !(a instanceof MessageExt) ? String.valueOf(a).compareTo(String.valueOf(b)) : 0);
            System.out.println(head + "[" + all.size() + "]");
            for (Object each : all) {
                render(indent + "  ", "-", each, depth + 1);
            }
        } else if (value == null || depth > 8 || value instanceof Enum || value instanceof MessageQueue
            || !value.getClass().getName().startsWith("org.apache.rocketmq")) {
            System.out.println(head + value);
        } else {
            System.out.println(head + value.getClass().getSimpleName());
            TreeMap<String, Object> fields = new TreeMap<>();
            for (Class<?> type = value.getClass(); type != Object.class; type = type.getSuperclass()) {
                for (Field field : type.getDeclaredFields()) {
                    if (!Modifier.isStatic(field.getModifiers())) {
                        field.setAccessible(true);
                        fields.put(field.getName(), field.get(value));
                    }
                }
            }
            for (Map.Entry<String, Object> entry : fields.entrySet()) {
                render(indent + "  ", entry.getKey(), entry.getValue(), depth + 1);
            }
        }
    }
}
