import java.util.Locale;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;

/**
 * Apache's own push consumer, with the options it has by default: reads COUNT messages from the first offset on. A tenth of them
 * warms its code up; then it prints "begun" and measures to the last one; then one line of JSON. It ends with its standard input.
 *
 * java -cp CLASSES:JARS JavaConsumes NAMESRV TOPIC GROUP COUNT
 */
public class JavaConsumes {
    public static void main(String[] args) throws Exception {
        long count = Long.parseLong(args[3]);
        long warm = count / 10;
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(args[2]);
        consumer.setNamesrvAddr(args[0]);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(args[1], "*");

        AtomicLong seen = new AtomicLong();
        AtomicLong begun = new AtomicLong();
        AtomicLong ended = new AtomicLong();
        CountDownLatch over = new CountDownLatch(1);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            long before = seen.getAndAdd(messages.size());
            long after = before + messages.size();
            if (before < warm && after >= warm) {
                begun.set(System.nanoTime());
                System.out.println("begun");
            }
            if (before < count && after >= count) {
                ended.set(System.nanoTime());
                over.countDown();
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        over.await();
        double seconds = (ended.get() - begun.get()) / 1e9;
        System.out.println(String.format(Locale.ROOT, "{\"requests\":%d,\"errors\":0,\"rps\":%.0f}",
            count - warm, (count - warm) / seconds));
        System.in.read();
        Runtime.getRuntime().halt(0);
    }
}
