import java.util.Arrays;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;

/**
 * Apache's own producer as a load: THREADS threads that send and wait, without end. After a warm-up of WARM seconds it
 * prints "begun" and measures for SECONDS; then one line of JSON. It ends with its standard input.
 *
 * java -cp CLASSES:JARS JavaSends NAMESRV TOPIC THREADS BYTES WARM SECONDS
 */
public class JavaSends {
    public static void main(String[] args) throws Exception {
        int threads = Integer.parseInt(args[2]);
        byte[] body = new byte[Integer.parseInt(args[3])];
        Arrays.fill(body, (byte) 'x');
        DefaultMQProducer producer = new DefaultMQProducer("java_sends");
        producer.setNamesrvAddr(args[0]);
        producer.setCompressMsgBodyOverHowmuch(1 << 22);
        producer.start();

        AtomicLong sent = new AtomicLong();
        AtomicLong errors = new AtomicLong();
        for (int i = 0; i < threads; i++) {
            Thread thread = new Thread(() -> {
                while (true) {
                    try {
                        boolean stored = producer.send(new Message(args[1], body)).getSendStatus() == SendStatus.SEND_OK;
                        (stored ? sent : errors).incrementAndGet();
                    } catch (Exception e) {
                        errors.incrementAndGet();
                    }
                }
            });
            thread.setDaemon(true);
            thread.start();
        }
        Thread.sleep(1000 * Long.parseLong(args[4]));
        System.out.println("begun");
        long before = sent.get();
        long errorsBefore = errors.get();
        long begun = System.nanoTime();
        Thread.sleep(1000 * Long.parseLong(args[5]));
        double seconds = (System.nanoTime() - begun) / 1e9;
        long requests = sent.get() - before;
        System.out.println(String.format(Locale.ROOT, "{\"requests\":%d,\"errors\":%d,\"rps\":%.0f}",
            requests, errors.get() - errorsBefore, requests / seconds));
        System.in.read();
        Runtime.getRuntime().halt(0);
    }
}
