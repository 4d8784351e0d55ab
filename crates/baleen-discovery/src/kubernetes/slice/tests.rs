//! Slices as the documentation shows them, and what is wrong with others.

use baleen_config::zone_hash;

use super::*;

/// Like the example of the page "EndpointSlices", as JSON.
const SLICE: &str = r#"{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice",
  "metadata":{"name":"example-abc","namespace":"default","resourceVersion":"12","labels":{"kubernetes.io/service-name":"example"}},
  "addressType":"IPv4",
  "ports":[{"name":"http","protocol":"TCP","port":80},{"name":"dns","protocol":"UDP","port":53},{"port":9090}],
  "endpoints":[
    {"addresses":["10.1.2.3"],"conditions":{"ready":true},"hostname":"pod-1","nodeName":"node-1","zone":"us-west2-a",
     "targetRef":{"kind":"Pod","uid":"0f5b9f6c-6a43-4c5c-9d3a-5a5b0b5f7f01"}},
    {"addresses":["10.1.2.4","10.1.2.5"],"conditions":{"ready":false,"serving":true,"terminating":true}},
    {"addresses":["10.1.2.6"],"conditions":{"ready":false,"serving":false,"terminating":true}},
    {"addresses":["10.1.2.7"]}]}"#;

fn lined(kind: &str, object: &str) -> String {
    format!(r#"{{"type":"{kind}","object":{object}}}"#)
}

fn put(object: &str) -> (Slice, Vec<Refused>) {
    match event(lined("ADDED", object).as_bytes()).unwrap() {
        Some(Event::Put { slice, refused, .. }) => (slice, refused),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_slice_is_read() {
    let (slice, refused) = put(SLICE);
    assert!(refused.is_empty(), "{refused:?}");
    assert_eq!(slice.key, "default/example-abc");
    assert_eq!(slice.service, Some(("default".to_owned(), "example".to_owned())));
    assert_eq!(slice.ports, [("http".to_owned(), 80), ("9090".to_owned(), 9090)]);
    let short = |m: &Member| (m.ip.to_string(), m.ready, m.leaving);
    let expected = [
        ("10.1.2.3".to_owned(), true, false),
        ("10.1.2.4".to_owned(), false, true),
        ("10.1.2.6".to_owned(), false, false),
        ("10.1.2.7".to_owned(), true, false),
    ];
    assert_eq!(slice.members.iter().map(short).collect::<Vec<_>>(), expected);
    assert_eq!(slice.members[0].zone, zone_hash("us-west2-a"));
    assert_eq!(slice.members[0].pod, Some(0x0f5b_9f6c_6a43_4c5c_9d3a_5a5b_0b5f_7f01));
}

#[test]
fn slices_that_can_not_be_used() {
    let fqdn = SLICE.replace("IPv4", "FQDN");
    let (slice, refused) = put(&fqdn);
    assert_eq!(slice.service, None);
    assert!(refused[0].1.contains("FQDN"), "{refused:?}");
    let (slice, refused) = put(&SLICE.replace("kubernetes.io/service-name", "other"));
    assert_eq!((slice.service, refused.len()), (None, 0));
    let (slice, refused) =
        put(&SLICE.replace("10.1.2.7", "pod.local").replace(r#""port":80"#, r#""port":null"#));
    assert_eq!((slice.members.len(), slice.ports.len(), refused.len()), (3, 1, 2));
    // Empty as Go writes it.
    let bare = r#"{"metadata":{"name":"a","namespace":"b","resourceVersion":"1","labels":{"kubernetes.io/service-name":"s"}},
        "addressType":"IPv6","endpoints":null,"ports":null}"#;
    let (slice, refused) = put(bare);
    assert!(slice.members.is_empty() && slice.ports.is_empty() && refused.is_empty());
    let odd = SLICE.replace("\"default\"", "\"a/b\"");
    assert_eq!(event(lined("ADDED", &odd).as_bytes()), Ok(None));
}

#[test]
fn pages() {
    let list = |meta: &str, items: &str| {
        format!(r#"{{"kind":"EndpointSliceList","metadata":{meta},"items":{items}}}"#)
    };
    let first = list(r#"{"resourceVersion":"10","continue":"abc"}"#, &format!("[{SLICE}]"));
    let first = page(first.as_bytes()).unwrap();
    assert_eq!((first.version.as_str(), first.next.as_deref()), ("10", Some("abc")));
    assert_eq!(first.slices.len(), 1);
    let last = list(r#"{"resourceVersion":"10","continue":""}"#, "null");
    let last = page(last.as_bytes()).unwrap();
    assert_eq!((last.next, last.slices.len()), (None, 0));
    for wrong in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"kind":"Status","code":500}"#,
        &list("{}", "[]"),
        &list(r#"{"resourceVersion":""}"#, "[]"),
        &list(r#"{"resourceVersion":"1"}"#, "[1]"),
        &format!(
            r#"{{"kind":"EndpointSliceList","metadata":{{"resourceVersion":"1"}},"items":[{SLICE}"#
        ),
    ] {
        assert!(page(wrong.as_bytes()).is_err(), "{wrong}");
    }
    let metadata = r#"{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"9"}}"#;
    assert_eq!(any_list(metadata.as_bytes()), Ok(()));
    assert!(any_list(b"{}").is_err() && any_list(b"ok").is_err());
}

#[test]
fn events() {
    let read = |text: &str| event(text.as_bytes()).unwrap().unwrap();
    let gone = Event::Gone { version: "12".into(), key: "default/example-abc".into() };
    assert_eq!(read(&lined("DELETED", SLICE)), gone);
    let bookmark = r#"{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"12746","creationTimestamp":null}}"#;
    assert_eq!(read(&lined("BOOKMARK", bookmark)), Event::Bookmark { version: "12746".into() });
    let old = r#"{"kind":"Status","metadata":{},"status":"Failure","message":"too old resource version: 1 (2)","reason":"Expired","code":410}"#;
    assert_eq!(read(&lined("ERROR", old)), Event::Expired);
    let other = r#"{"kind":"Status","status":"Failure","message":"etcd\nis gone","reason":"InternalError","code":500}"#;
    assert_eq!(read(&lined("ERROR", other)), Event::Error("500 InternalError etcd is gone".into()));
    for wrong in
        ["", "{}", "null", r#"{"type":"ADDED"}"#, &lined("ADDED", "{}"), &lined("NEW", "{}")]
    {
        assert!(event(wrong.as_bytes()).is_err(), "{wrong}");
    }
    let cut = lined("MODIFIED", SLICE);
    assert!(event(&cut.as_bytes()[..cut.len() - 1]).is_err());
}
