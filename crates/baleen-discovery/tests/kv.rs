//! The same checks for every store. What only one of them does is in the tests of that one.

#[path = "common/checks.rs"]
#[allow(dead_code, reason = "the tests of each store use a part of them")]
mod checks;
#[path = "common/etcd.rs"]
#[allow(dead_code, reason = "the tests of etcd use the rest")]
mod etcd;
#[path = "zookeeper/server.rs"]
#[allow(dead_code, reason = "the tests of ZooKeeper use the rest")]
mod zookeeper;

#[tokio::test]
async fn etcd_is_a_store() {
    let Some(server) = etcd::Server::start() else { return };
    checks::all(server.store("/checks")).await;
    checks::a_thousand_members_are_found(&server.store("/many")).await;
}

#[tokio::test]
async fn etcd_opened_by_its_address_is_a_store() {
    let Some(server) = etcd::Server::start() else { return };
    let address = format!("etcd://127.0.0.1:1,{}/deep/top/", server.client);
    let store = std::sync::Arc::new(baleen_discovery::open(&address).expect("an address"));
    checks::values_have_versions(&store).await;
    checks::lists_are_what_is_below(&store).await;
    checks::followers_hear_of_everything(&store).await;
    checks::a_held_key_is_there_until_its_end(&store).await;
}

#[tokio::test]
async fn a_folder_is_a_store() {
    let dir = tempfile::tempdir().expect("a folder");
    let address = format!("file:{}", dir.path().display());
    let store = baleen_discovery::open(&address).expect("an address");
    checks::all(std::sync::Arc::new(store)).await;
}

#[tokio::test]
async fn zookeeper_is_a_store() {
    if !zookeeper::installed() {
        return;
    }
    let server = zookeeper::Server::start();
    let address = format!("zookeeper://{}/checks", server.addr());
    let store = std::sync::Arc::new(baleen_discovery::open(&address).expect("an address"));
    checks::all(store).await;
    checks::a_thousand_members_are_found(&server.store("/many")).await;
}
