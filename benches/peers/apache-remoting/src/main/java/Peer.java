import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.remoting.InvokeCallback;
import org.apache.rocketmq.remoting.netty.NettyClientConfig;
import org.apache.rocketmq.remoting.netty.NettyRemotingClient;
import org.apache.rocketmq.remoting.netty.NettyRemotingServer;
import org.apache.rocketmq.remoting.netty.NettyRequestProcessor;
import org.apache.rocketmq.remoting.netty.NettyServerConfig;
import org.apache.rocketmq.remoting.netty.ResponseFuture;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import io.netty.channel.ChannelHandlerContext;

/** Echo peer on Apache RocketMQ's remoting: `server PORT` or `client ADDR CONNECTIONS INFLIGHT SECONDS BODY_BYTES`. */
public class Peer {
    static final int ECHO = 9000;

    public static void main(String[] a) throws Exception {
        if (a[0].equals("server")) {
            server(Integer.parseInt(a[1]));
        } else {
            client(a[1], Integer.parseInt(a[2]), Integer.parseInt(a[3]), Double.parseDouble(a[4]), Integer.parseInt(a[5]));
        }
    }

    static void server(int port) throws Exception {
        NettyServerConfig config = new NettyServerConfig();
        config.setListenPort(port);
        config.setUseEpollNativeSelector(Boolean.getBoolean("epoll"));
        NettyRemotingServer server = new NettyRemotingServer(config);
        ExecutorService pool = Executors.newFixedThreadPool(Integer.getInteger("pool", 4));
        server.registerProcessor(ECHO, new NettyRequestProcessor() {
            @Override
            public RemotingCommand processRequest(ChannelHandlerContext ctx, RemotingCommand request) {
                RemotingCommand response = RemotingCommand.createResponseCommand(0, null);
                response.setBody(request.getBody());
                response.setExtFields(request.getExtFields());
                return response;
            }

            @Override
            public boolean rejectRequest() {
                return false;
            }
        }, pool);
        server.start();
        System.err.println("listening");
        new CountDownLatch(1).await();
    }

    static void client(String addr, int connections, int inflight, double seconds, int bodyBytes) throws Exception {
        // One client holds one channel to an address, so a connection is a client.
        NettyRemotingClient[] clients = new NettyRemotingClient[connections];
        NettyClientConfig config = new NettyClientConfig();
        config.setClientWorkerThreads(Integer.getInteger("workers", 2));
        config.setClientAsyncSemaphoreValue(1 << 20);
        for (int i = 0; i < connections; i++) {
            clients[i] = new NettyRemotingClient(config);
            clients[i].start();
            clients[i].invokeSync(addr, request(new byte[bodyBytes]), 3000);
        }
        byte[] body = new byte[bodyBytes];
        Load[] loads = new Load[connections * inflight];
        long warm = System.nanoTime() + 2_000_000_000L;
        long end = warm + (long) (seconds * 1e9);
        for (int i = 0; i < loads.length; i++) {
            loads[i] = new Load(clients[i % connections], addr, body, warm, end);
            loads[i].next();
        }
        for (Load l : loads) {
            l.done.await();
        }
        int n = 0;
        for (Load l : loads) {
            n += l.count;
        }
        long[] all = new long[n];
        int at = 0;
        for (Load l : loads) {
            System.arraycopy(l.nanos, 0, all, at, l.count);
            at += l.count;
        }
        Arrays.sort(all);
        System.out.printf("{\"peer\":\"apache-remoting-%s\",\"rps\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"errors\":%d}%n",
            System.getProperty("rocketmq.serialize.type", "JSON").toLowerCase(), n / seconds,
            pick(all, 0.5), pick(all, 0.99), pick(all, 0.999), Load.errors.get());
        System.exit(0);
    }

    static double pick(long[] sorted, double q) {
        return sorted.length == 0 ? 0 : sorted[(int) Math.min(sorted.length - 1, q * sorted.length)] / 1000.0;
    }

    static RemotingCommand request(byte[] body) {
        RemotingCommand c = RemotingCommand.createRequestCommand(ECHO, null);
        c.addExtField("topic", "TopicTest");
        c.addExtField("queueId", "0");
        c.addExtField("producerGroup", "bench");
        c.setBody(body);
        return c;
    }

    static class Load implements InvokeCallback {
        static final AtomicLong errors = new AtomicLong();
        final NettyRemotingClient client;
        final String addr;
        final byte[] body;
        final long warm;
        final long end;
        final CountDownLatch done = new CountDownLatch(1);
        long[] nanos = new long[1 << 12];
        int count;
        long began;

        Load(NettyRemotingClient client, String addr, byte[] body, long warm, long end) {
            this.client = client;
            this.addr = addr;
            this.body = body;
            this.warm = warm;
            this.end = end;
        }

        void next() {
            began = System.nanoTime();
            if (began >= end) {
                done.countDown();
                return;
            }
            try {
                client.invokeAsync(addr, request(body), 5000, this);
            } catch (Exception e) {
                errors.incrementAndGet();
                done.countDown();
            }
        }

        @Override
        public void operationComplete(ResponseFuture f) {
            long now = System.nanoTime();
            if (f.getResponseCommand() == null) {
                errors.incrementAndGet();
            } else if (now >= warm && now < end) {
                if (count == nanos.length) {
                    nanos = Arrays.copyOf(nanos, count * 2);
                }
                nanos[count++] = now - began;
            }
            next();
        }
    }
}
