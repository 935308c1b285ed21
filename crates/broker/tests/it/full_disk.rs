use std::{sync::Arc, time::Duration};

use rocketwire_broker::{Broker, BrokerOptions};
use rocketwire_remoting::{ClientOptions, Lane, RemotingClient, Router, Server, ServerOptions};
use rocketwire_store::{Clock, StoreOptions, SystemClock};
use rocketwire_testkit::SimulatedDisk;

use crate::support::*;

#[tokio::test]
async fn a_full_disk_is_14_and_says_what_to_do() {
    // Whatever it was that said how much has to be free.
    refuses(1 << 20, 0, &["1048576 have to be", "min_free_bytes"]).await;
    refuses(0, 50, &["have to be", "min_free_percent"]).await;
}

async fn refuses(min_free_bytes: u64, min_free_percent: u8, says: &[&str]) {
    let disk = SimulatedDisk::new(7);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let mut options = StoreOptions::new("/store");
    options.look = Duration::ZERO;
    options.min_free_bytes = min_free_bytes;
    options.min_free_percent = min_free_percent;
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

    assert_eq!(call(&"x".repeat(1 << 20)).await.code, 0);
    // Less than a mebibyte is free then, and less than the half.
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
    for part in ["/store", "bytes are free"].iter().chain(says) {
        assert!(remark.contains(part), "{remark}");
    }
    assert_eq!(refused.fields.get("MSG_REGION").unwrap(), "DefaultRegion");
    let pulled = client.invoke(&addr, pull("T", 0, 0, "*", None), PATIENCE).await.unwrap();
    assert_eq!(pulled.code, 0, "reading goes on");
    server.shutdown(Duration::from_secs(1)).await;
}
