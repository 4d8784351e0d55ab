#[test] fn zz(){
    let cases: Vec<(&str, String)> = vec![
      ("eq", "=\n".repeat(50_000)),
      ("keys", (0..200_000).map(|i| format!("k{i} = 1\n")).collect()),
      ("statuses", format!("[route]\nretry = {{ statuses = [{}] }}", "1,".repeat(500_000))),
      ("routes", (0..50_000).map(|i| format!("[route.\"/svc/r{i}\"]\nto=\"a\"\n")).collect()),
      ("clusters", (0..50_000).map(|i| format!("[cluster.c{i}]\nqueue=1\n")).collect()),
      ("listeners", (0..50_000).map(|i| format!("[[listener]]\nlisten=\"127.0.0.1:{}\"\n", i%60000+1)).collect()),
      ("rules", format!("[[listener]]\nlisten=\"127.0.0.1:80\"\n{}", (0..50_000).map(|i| format!("[[listener.rule]]\npath=\"/a{i}\"\nname=\"/svc/x{i}\"\n")).collect::<String>())),
      ("endpoints", format!("[cluster.a]\nendpoints=[{}]", "\"1.1.1.1:80\",".repeat(200_000))),
      ("target", format!("[route.\"/svc/x\"]\nto=[{}]", "{cluster=\"a\"},".repeat(200_000))),
      ("dots", format!("{}=1", "a.".repeat(100_000)+"a")),
    ];
    for (n, t) in cases { let s=std::time::Instant::now();
      let (Ok((_, d)) | Err(d)) = baleen_config::parse_str("a.toml", &t);
      let e=s.elapsed(); let r=baleen_config::render(&d, baleen_config::Look::Plain);
      println!("{n}: {} bytes parse {e:?} total {:?} diags {} {}", t.len(), s.elapsed(), d.len(), r.len()); }
}
