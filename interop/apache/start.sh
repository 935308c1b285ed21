#!/bin/bash
# start.sh 5.3.3|4.9.7 NAMESRV_PORT BROKER_PORT DATA_DIR
# Starts Apache's name server and broker from the jars that `mvn package` collected, waits until the broker accepts a
# send, and writes their process ids to DATA_DIR/pids ("namesrv PID" and "broker PID"). stop.sh DATA_DIR ends them.
# Ports taken: NAMESRV_PORT, BROKER_PORT, BROKER_PORT-2 (VIP channel), BROKER_PORT+1 (replication).
# From the environment:
#   NAMESRV_JVM, BROKER_JVM   JVM options of each process (small heaps unless set)
#   BROKER_CONF               more lines for the broker's configuration, e.g. $'flushDiskType=SYNC_FLUSH'
#   NAMESRV_ADDR              start no name server: the broker registers at this one
#   JAVA                      the java to run
set -eu
[ $# -eq 4 ] || { sed -n 2,10p "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
version=$1 ns_port=$2 broker_port=$3
mkdir -p "$4/conf"
data=$(cd "$4" && pwd)
lib=$here/../target/apache/$version/lib
java=${JAVA:-java}
[ -d "$lib" ] || { echo "no $lib: run 'mvn -q package -Drocketmq.version=$version' in $here first" >&2; exit 1; }

namesrv_jvm=${NAMESRV_JVM:--Xms128m -Xmx256m -XX:+UseSerialGC}
broker_jvm=${BROKER_JVM:--Xms512m -Xmx1g -XX:MaxDirectMemorySize=1g}
# Unmapping a file goes through private parts of the JDK in 4.x; Netty likes the others.
opens="--add-opens=java.base/java.nio=ALL-UNNAMED --add-opens=java.base/sun.nio.ch=ALL-UNNAMED
 --add-opens=java.base/jdk.internal.ref=ALL-UNNAMED --add-exports=java.base/jdk.internal.ref=ALL-UNNAMED
 --add-opens=java.base/java.lang=ALL-UNNAMED --add-opens=java.base/java.util=ALL-UNNAMED"
common="-Duser.home=$data -Drocketmq.home.dir=$data -Djava.net.preferIPv4Stack=true"
export ROCKETMQ_HOME=$data

cat > "$data/conf/namesrv.conf" <<END
listenPort=$ns_port
kvConfigPath=$data/namesrv/kvConfig.json
configStorePath=$data/namesrv/namesrv.properties
bindAddress=127.0.0.1
END
cat > "$data/conf/broker.conf" <<END
brokerClusterName=DefaultCluster
brokerName=broker-a
brokerId=0
brokerIP1=127.0.0.1
brokerIP2=127.0.0.1
namesrvAddr=${NAMESRV_ADDR:-127.0.0.1:$ns_port}
listenPort=$broker_port
haListenPort=$((broker_port + 1))
bindAddress=127.0.0.1
storePathRootDir=$data/store
storePathCommitLog=$data/store/commitlog
brokerRole=ASYNC_MASTER
autoCreateTopicEnable=true
${BROKER_CONF:-}
END
# 4.x reads its logging set-up from these files and exits without them; 5.x carries its own.
for part in namesrv broker tools; do
  cat > "$data/conf/logback_$part.xml" <<END
<configuration>
  <appender name="file" class="ch.qos.logback.core.FileAppender">
    <file>$data/logs/rocketmqlogs/$part.log</file>
    <encoder><pattern>%d{HH:mm:ss.SSS} %-5p %c{0} %t - %m%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="file"/></root>
</configuration>
END
done

: > "$data/pids"
# Each process gets only its own jars: the name server would otherwise find the broker's logging set-up (5.x looks for
# it on the class path, the broker's first) and write into the broker's log files.
jars() { # NAME
  local other=broker
  [ "$1" = broker ] && other=namesrv
  find "$lib" -name '*.jar' ! -name "rocketmq-$other-*" |
    LC_ALL=C sort | paste -sd:
}
launch() { # NAME JVM_OPTIONS MAIN_CLASS CONF
  # shellcheck disable=SC2086
  nohup setsid "$java" $2 $opens $common -cp "$(jars "$1")" "$3" -c "$4" > "$data/$1.out" 2>&1 < /dev/null &
  echo "$1 $!" >> "$data/pids"
}
await() { # KIND PORT PID NAME
  for _ in $(seq 120); do
    kill -0 "$3" 2>/dev/null || { echo "$4 ended: see $data/$4.out and $data/logs" >&2; exit 1; }
    "$here/../probe.py" "$1" 127.0.0.1 "$2" --wait 0.5 > /dev/null && return 0
  done
  echo "$4 is not ready after 60 s: see $data/logs" >&2
  exit 1
}

pid_of() { awk -v n="$1" '$1 == n {print $2}' "$data/pids"; }

if [ -z "${NAMESRV_ADDR:-}" ]; then
  launch namesrv "$namesrv_jvm" org.apache.rocketmq.namesrv.NamesrvStartup "$data/conf/namesrv.conf"
  await ns "$ns_port" "$(pid_of namesrv)" namesrv
fi
launch broker "$broker_jvm" org.apache.rocketmq.broker.BrokerStartup "$data/conf/broker.conf"
# "The route is served" is not yet "a send is accepted".
await route "$ns_port" "$(pid_of broker)" broker
await send "$broker_port" "$(pid_of broker)" broker
cat "$data/pids"
