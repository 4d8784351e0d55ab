#[test]
fn gen_out() {
    let base = "[[listener]]\nlisten = \"127.0.0.1:8080\"\n[namer.files]\nkind = \"files\"\ndir = \"services\"\n";
    for e in std::fs::read_dir("/tmp/cfgwork/in").unwrap() {
        let p = e.unwrap().path();
        let t = std::fs::read_to_string(&p).unwrap();
        let t = if p.extension().unwrap() == "base" { format!("{t}{base}") } else { t };
        let (Ok((_, d)) | Err(d)) = baleen_config::parse_str("baleen.toml", &t);
        std::fs::write(format!("/tmp/cfgwork/out/{}", p.file_stem().unwrap().to_str().unwrap()), baleen_config::render(&d, baleen_config::Look::Plain)).unwrap();
    }
}
