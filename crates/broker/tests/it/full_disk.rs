use std::{sync::Arc, time::Duration};

use rocketwire_broker::{Broker, BrokerOptions};
use rocketwire_remoting::{ClientOptions, Lane, RemotingClient, Router, Server, ServerOptions};
use rocketwire_store::{Clock, StoreOptions, SystemClock};
use rocketwire_testkit::SimulatedDisk;

use crate::support::*;

#[tokio::test]
async fn a_full_disk_is_14_and_says_what_to_do() {
    let disk = SimulatedDisk::new(7);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let mut options = StoreOptions::new("/store");
    options.look = Duration::ZERO;
    options.min_free_bytes = 1 << 20;
    let broker =
        Broker::open(BrokerOptions::default(), options, Arc::new(disk.clone()), clock, Arc::new(())).unwrap();
    let router = broker
        .processors()
        .into_iter()
        .fold(Router::new(), |router, (code, processor)| router.route(code, processor, Lane::inline()));
    let server = Server::bind("127.0.0.1:0", router, ServerOptions::default()).await.unwrap();
    let client = RemotingClient::new(ClientOptions::default(), Router::new());
    let addr = server.local_addr().to_string();
    let call = async |body: &str| client.invoke(&addr, send("T", body, ""), PATIENCE).await.unwrap();
    assert_eq!(call("x").await.code, 0);

    disk.set_capacity(disk.used() + (600 << 10));
    // The store looks at the disk now and then.
    let since = std::time::Instant::now();
    let refused = loop {
        let response = call("x").await;
        if response.code != 0 {
            break response;
        }
        assert!(since.elapsed() < PATIENCE, "the disk is never full");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(refused.code, 14);
    let remark = refused.remark.unwrap();
    for part in ["/store", "bytes are free", "min_free_bytes is 1048576"] {
        assert!(remark.contains(part), "{remark}");
    }
    assert_eq!(refused.fields.get("MSG_REGION").unwrap(), "DefaultRegion");
    let pulled = client.invoke(&addr, pull("T", 0, 0, "*", None), PATIENCE).await.unwrap();
    assert_eq!(pulled.code, 0, "reading goes on");
    server.shutdown(Duration::from_secs(1)).await;
}
