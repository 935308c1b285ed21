use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use rocketwire_broker::{Broker, BrokerOptions};
use rocketwire_remoting::{ClientOptions, Lane, RemotingClient, Router, Server, ServerOptions};
use rocketwire_store::{MemoryStorage, Space, Storage, StorageFile, StoreOptions, storage::StorageLock};
use rocketwire_testkit::ManualClock;

use crate::support::*;

/// A disk that does not come back from creating the file of offsets, while the gate is closed.
#[derive(Clone, Debug, Default)]
struct Stuck {
    files: MemoryStorage,
    gate: Arc<Mutex<()>>,
    entered: Arc<Mutex<bool>>,
}

impl Storage for Stuck {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        if path.to_string_lossy().contains("offsets") {
            *self.entered.lock().unwrap() = true;
            drop(self.gate.lock().unwrap());
        }
        self.files.create(path)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.create_dir(dir)
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        self.files.open(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.sync_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.files.list(dir)
    }
    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.files.space(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn StorageLock>> {
        self.files.lock(path)
    }
}

#[tokio::test]
#[allow(clippy::await_holding_lock)] // the gate is closed meanwhile
async fn a_stuck_disk_does_not_keep_parked_pulls_from_their_deadline() {
    let disk = Stuck::default();
    let clock = Arc::new(ManualClock::new(START_MS));
    let mut options = StoreOptions::new("/store");
    options.look = Duration::ZERO;
    let storage = Arc::new(disk.clone());
    let broker =
        Broker::open(BrokerOptions::default(), options, storage, clock.clone(), Arc::new(())).unwrap();
    broker.start(&tokio::runtime::Handle::current());
    let router = broker
        .processors()
        .into_iter()
        .fold(Router::new(), |router, (code, processor)| router.route(code, processor, Lane::inline()));
    let server = Server::bind("127.0.0.1:0", router, ServerOptions::default()).await.unwrap();
    let client = RemotingClient::new(ClientOptions::default(), Router::new());
    let addr = server.local_addr().to_string();
    assert_eq!(client.invoke(&addr, send("T", "x", ""), PATIENCE).await.unwrap().code, 0);
    let (parked, asked) = (broker.clone(), (client.clone(), addr.clone()));
    let pulled = tokio::spawn(async move {
        asked.0.invoke(&asked.1, pull("T", 0, 1, "*", Some(Duration::from_secs(15))), PATIENCE).await
    });
    eventually("the pull is parked", || parked.parked_pulls() == 1).await;

    // The snapshot of the offsets is due, and hangs.
    let closed = disk.gate.lock().unwrap();
    clock.advance(Duration::from_secs(6));
    eventually("a snapshot is under way", || *disk.entered.lock().unwrap()).await;
    clock.advance(Duration::from_secs(20));
    assert_eq!(pulled.await.unwrap().unwrap().code, 19);
    drop(closed);
    server.shutdown(Duration::from_secs(1)).await;
    broker.shutdown().await.unwrap();
}
