//! Each utility as linkerd has it: its own test cases, and the edges of its expressions.

use super::*;

fn check(text: &str, expect: Option<Utility>) {
    assert_eq!(utility(&Path::parse(text).expect(text)), expect, "{text}");
}

fn to(text: &str, rewritten: &str) {
    check(text, Some(Utility::To(Path::parse(rewritten).expect(rewritten))));
}

fn neg(text: &str) {
    check(text, Some(Utility::Neg));
}

#[test]
fn fixed_answers_and_none() {
    check("/$/nil", Some(Utility::Empty));
    check("/$/nil/a/b", Some(Utility::Empty));
    check("/$/fail", Some(Utility::Fail));
    check("/$/fail/a", Some(Utility::Fail));
    check("/$/inet/a/80", None);
    check("/$/io.buoyant.other/a", None);
    check("/$", None);
}

#[test]
fn rinet() {
    let inet = Path::parse("/$/inet/localhost/12345/residual").expect("a path");
    check("/$/io.buoyant.rinet/12345/localhost/residual", Some(Utility::Ask(inet)));
    neg("/$/io.buoyant.rinet/12345");
    neg("/$/io.buoyant.rinet");
}

#[test]
fn host_and_port() {
    to("/$/io.buoyant.hostportPfx/ia/127.1:8080/etc", "/ia/127.1/8080/etc");
    to("/$/io.buoyant.hostportPfx/ia/google.com:http", "/ia/google.com/http");
    to("/$/io.buoyant.porthostPfx/ia/127.1:8080/etc", "/ia/8080/127.1/etc");
    to("/$/io.buoyant.hostportPfx/ia/a:80:", "/ia/a/80");
    to("/$/io.buoyant.hostportPfx/ia/a:8-", "/ia/a/8-");
    neg("/$/io.buoyant.hostportPfx/ia/google.com:8180:abcdef/etc");
    neg("/$/io.buoyant.porthostPfx/ia/google.com:http:abcdef/etc");
    neg("/$/io.buoyant.hostportPfx/ia/google.com");
    neg("/$/io.buoyant.hostportPfx/ia/a:HTTP");
    neg("/$/io.buoyant.hostportPfx/ia/a:-1");
    neg("/$/io.buoyant.hostportPfx/ia/:80");
    neg("/$/io.buoyant.hostportPfx/ia/a:");
    neg("/$/io.buoyant.hostportPfx/ia");
    neg("/$/io.buoyant.hostportPfx");
    let port = "p".repeat(63);
    to(&format!("/$/io.buoyant.hostportPfx/ia/a:{port}"), &format!("/ia/a/{port}"));
    neg(&format!("/$/io.buoyant.hostportPfx/ia/a:{port}p"));
}

#[test]
fn any_method_and_host() {
    to("/$/io.buoyant.http.anyMethod/GET/foo/bar", "/foo/bar");
    to("/$/io.buoyant.http.anyMethod/GET", "/");
    neg("/$/io.buoyant.http.anyMethod/A.B/foo");
    neg("/$/io.buoyant.http.anyMethod/get/foo");
    neg("/$/io.buoyant.http.anyMethod");
    to("/$/io.buoyant.http.anyMethodPfx/foo/GET/bar", "/foo/bar");
    neg("/$/io.buoyant.http.anyMethodPfx/foo/A.B/bar");
    neg("/$/io.buoyant.http.anyMethodPfx/GET");
    to("/$/io.buoyant.http.anyHost/a.b/foo", "/foo");
    neg("/$/io.buoyant.http.anyHost/a%b/foo");
    to("/$/io.buoyant.http.anyHostPfx/foo/a.b/bar", "/foo/bar");
    to("/$/io.buoyant.http.anyHostPfx/foo/a_b-c:80", "/foo");
    neg("/$/io.buoyant.http.anyHostPfx/foo/a%b/bar");
    neg("/$/io.buoyant.http.anyHostPfx/foo");
}

#[test]
fn subdomains() {
    to("/$/io.buoyant.http.subdomainOf/a.b/foo.a.b/bar", "/foo/bar");
    to("/$/io.buoyant.http.subdomainOfPfx/a.b/foo/bar.a.b/bah", "/foo/bar/bah");
    to("/$/io.buoyant.http.subdomainOfPfx/a.b/foo/bar_suffix.a.b", "/foo/bar_suffix");
    to("/$/io.buoyant.http.subdomainOfPfx/a.b/foo/bar-suffix.a.b", "/foo/bar-suffix");
    to("/$/io.buoyant.http.subdomainOfPfx/a.b/foo/bar.a.b:9090/bah", "/foo/bar/bah");
    to("/$/io.buoyant.http.subdomainOfPfx/a.b/foo/x.y.a.b", "/foo/x.y");
    neg("/$/io.buoyant.http.subdomainOfPfx/a.b/foo/bar.a.c");
    neg("/$/io.buoyant.http.subdomainOfPfx/a.b/foo/a.b");
    neg("/$/io.buoyant.http.subdomainOfPfx/a.b/foo/.a.b");
    neg("/$/io.buoyant.http.subdomainOfPfx/a.b/foo/xa.b");
    neg("/$/io.buoyant.http.subdomainOfPfx/a%b/foo/x.a%b");
    neg("/$/io.buoyant.http.subdomainOfPfx/a.b/foo");
    neg("/$/io.buoyant.http.subdomainOf/a.b");
}

#[test]
fn domains_become_paths() {
    to("/$/io.buoyant.http.domainToPath/foo.buoyant.io", "/io/buoyant/foo");
    to("/$/io.buoyant.http.domainToPath/foo.buoyant.io/a/b", "/io/buoyant/foo/a/b");
    to("/$/io.buoyant.http.domainToPathPfx/pfx/foo.buoyant.io", "/pfx/io/buoyant/foo");
    to("/$/io.buoyant.http.domainToPathPfx/pfx/foo.io:80/x", "/pfx/io:80/foo/x");
    to("/$/io.buoyant.http.domainToPathPfx/pfx/foo.", "/pfx/foo");
    to("/$/io.buoyant.http.domainToPathPfx/pfx/./x", "/pfx/x");
    neg("/$/io.buoyant.http.domainToPathPfx/pfx/a..b");
    neg("/$/io.buoyant.http.domainToPathPfx/pfx/.a");
    neg("/$/io.buoyant.http.domainToPathPfx/pfx/a%b");
    neg("/$/io.buoyant.http.domainToPathPfx/pfx");
    neg("/$/io.buoyant.http.domainToPath");
}
