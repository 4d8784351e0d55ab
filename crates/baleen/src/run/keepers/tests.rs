//! What is wanted of registries that have to be asked, and for how long. Nobody answers here: servers are silent sockets.

use std::net::UdpSocket;

use baleen_config::parse_str;

use super::*;

/// A DNS server that says nothing, and keepers that ask it.
fn silent(state: Option<&std::path::Path>) -> (UdpSocket, Keepers) {
    let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
    server.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let text = format!(
        "[[listener]]\nlisten = \"127.0.0.1:0\"\nname = \"/svc/{{host}}\"\n[namer.dns]\nkind = \"dns\"\n\
         servers = [\"{}\"]\n",
        server.local_addr().expect("an address")
    );
    let (mut config, _) = parse_str("baleen.toml", &text).expect("a configuration");
    config.names.state_dir = state.map(Into::into);
    (server, Keepers::start(&config).expect("they start"))
}

fn path(text: &str) -> Path {
    Path::parse(text).expect("a path")
}

fn forgotten(news: Vec<News>) -> Vec<String> {
    let places = |news| match news {
        News::Forget(places) => places,
        _ => Vec::new(),
    };
    news.into_iter().flat_map(places).map(|place| place.to_string()).collect()
}

#[tokio::test]
async fn what_nobody_could_be_asked_for_is_asked_for_again() {
    let (_server, mut keepers) = silent(None);
    assert!(!keepers.want(&path("/#/nobody/web/80/rest")));
    let now = Instant::now();
    assert!(forgotten(keepers.tick(now, &|_| false)).is_empty());
    let later = now + GONE_FOR;
    assert_eq!(forgotten(keepers.tick(later, &|_| false)), ["/#/nobody/web/80"]);
    assert!(forgotten(keepers.tick(later, &|_| false)).is_empty());
}

#[tokio::test]
async fn names_that_nobody_uses_make_room() {
    let (_server, mut keepers) = silent(None);
    let place = |i: usize| path(&format!("/#/dns/host{i}/80"));
    let mut n = 0;
    while keepers.want(&place(n)) {
        n += 1;
    }
    assert!(n > 1000, "{n}");
    let used = |at: &Path| *at == place(7);
    let mut given_up = Vec::new();
    let mut renewed = 0;
    let now = Instant::now();
    for i in 1..8 {
        let news = keepers.tick(now + i * LOOK_EVERY, &used);
        renewed += news.iter().filter(|news| matches!(news, News::Renew)).count();
        given_up.extend(forgotten(news));
    }
    assert!(renewed > 1);
    assert_eq!(given_up.len(), n, "all but one, and one that did not fit");
    assert!(!given_up.contains(&place(7).to_string()));
    assert!(keepers.want(&place(n)), "there is room again");
}

#[tokio::test]
async fn what_was_known_before_a_restart_is_asked_for_at_once() {
    let (server, mut keepers) = silent(None);
    let endpoint = baleen_config::parse_endpoint("127.0.0.1:80").expect("an endpoint");
    let update =
        |endpoints| Update { namer: "dns".into(), service: "web.test/80".to_owned(), endpoints };
    let one = keepers.all.first_mut().expect("the one");
    assert_eq!(one.news(update(Some(vec![endpoint])), Instant::now()).len(), 1);
    let question = tokio::task::spawn_blocking(move || {
        let mut question = [0; 512];
        let n = server.recv(&mut question).expect("a question");
        question[..n].to_vec()
    });
    let question = question.await.expect("no panic");
    assert!(question.windows(9).any(|w| w == b"\x03web\x04test"), "{question:?}");
}

#[tokio::test]
async fn what_was_given_up_is_not_taken_for_gone() {
    let (_server, mut keepers) = silent(None);
    let at = path("/#/dns/web.test/80");
    let gone =
        || Update { namer: "dns".into(), service: "web.test/80".to_owned(), endpoints: None };
    assert!(keepers.want(&at));
    let one = keepers.all.first_mut().expect("the one");
    let now = Instant::now();
    assert_eq!(forgotten(one.news(gone(), now)), [""; 0], "it is gone for a while");
    assert!(keepers.want(&at));
    let one = keepers.all.first_mut().expect("the one");
    let later = now + dns::FORGET_AFTER;
    assert_eq!(forgotten(one.news(gone(), later)), ["/#/dns/web.test/80"], "nobody used it");
    assert!(one.wanted.is_empty());
}

#[tokio::test]
async fn host_names_share_no_file_with_a_namer() {
    let state = tempfile::tempdir().expect("a folder");
    let (_server, mut keepers) = silent(Some(state.path()));
    assert!(keepers.want(&path("/$/inet/127.0.0.1/80")));
    keepers.next().await;
    keepers.stop().await;
    let is_there = |file: &str| state.path().join(file).exists();
    assert!(is_there("inet/inet.snapshot"));
    assert!(!is_there("inet.snapshot") && !is_there("inet.lock"));
}
