//! How each load generator is asked, and what it says. Each is one process on one core.
//!
//! Not here: what is asked (`load.rs`). Tested: below, with what the tools print.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bench::sys;

/// A load generator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Who {
    Baleen,
    Wrk,
    Oha,
    K6,
}

impl Who {
    pub const ALL: [Who; 4] = [Who::Baleen, Who::Wrk, Who::Oha, Who::K6];

    pub fn name(self) -> &'static str {
        match self {
            Who::Baleen => "baleen load",
            Who::Wrk => "wrk",
            Who::Oha => "oha",
            Who::K6 => "k6",
        }
    }

    /// Whether it can send at a fixed rate.
    pub fn has_rate(self) -> bool {
        self != Who::Wrk
    }
}

/// What a tool is to do.
pub struct Ask {
    pub url: String,
    /// An open loop with so many per second; otherwise a closed one.
    pub rate: Option<u32>,
    pub connections: u32,
    pub seconds: u32,
    pub core: usize,
}

/// What it says, and what it used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub requests: f64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub cpu_s: f64,
}

/// Programs that were found.
pub struct Tools {
    pub baleen: PathBuf,
    oha: PathBuf,
    k6: PathBuf,
    /// Where outputs and scripts go.
    dir: PathBuf,
}

impl Tools {
    pub fn find(target: &Path) -> Result<Tools> {
        let dir = target.join("bench/load");
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        Ok(Tools {
            baleen: target.join("release/baleen"),
            oha: target.join("oha/bin/oha"),
            k6: target.join("k6/bin/k6"),
            dir,
        })
    }

    fn program(&self, who: Who) -> &Path {
        match who {
            Who::Baleen => &self.baleen,
            Who::Wrk => Path::new("wrk"),
            Who::Oha => &self.oha,
            Who::K6 => &self.k6,
        }
    }

    /// What a tool says its version is; `None` when it isn't here.
    pub fn version(&self, who: Who) -> Option<String> {
        let flag = match who {
            Who::Wrk => "-v",
            Who::K6 => "version",
            Who::Baleen | Who::Oha => "--version",
        };
        let output = Command::new(self.program(who)).arg(flag).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let words: Vec<&str> = text.lines().next()?.split_whitespace().take(3).collect();
        Some(words.join(" "))
    }

    /// Runs it.
    pub fn ask(&self, who: Who, ask: &Ask) -> Result<Said> {
        let out = self.dir.join("out");
        let mut command = Command::new(self.program(who));
        match who {
            Who::Baleen => baleen(&mut command, ask),
            Who::Wrk => wrk(&mut command, ask),
            Who::Oha => oha(&mut command, ask),
            Who::K6 => self.k6(&mut command, ask)?,
        }
        command.stdin(Stdio::null()).stdout(fs::File::create(&out)?);
        command.stderr(fs::File::create(self.dir.join("err"))?);
        sys::prepare(&mut command, Some(ask.core));
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        let ended = sys::wait_with_usage(child.id())?;
        let text = fs::read_to_string(&out)?;
        if !ended.success {
            let err = fs::read_to_string(self.dir.join("err")).unwrap_or_default();
            bail!("it failed: {}", err.lines().next().unwrap_or("without a word"));
        }
        let said = match who {
            Who::Baleen => of_baleen(&text),
            Who::Wrk => of_wrk(&text),
            Who::Oha => of_oha(&text),
            Who::K6 => of_k6(&fs::read_to_string(self.dir.join("k6.json"))?),
        };
        let said = said.with_context(|| format!("can't be understood: {text:.300}"))?;
        Ok(Said { cpu_s: ended.cpu_s, ..said })
    }

    fn k6(&self, command: &mut Command, ask: &Ask) -> Result<()> {
        let (script, summary) = (self.dir.join("k6.js"), self.dir.join("k6.json"));
        fs::write(&script, k6_script(ask))?;
        command.args(["run", "--quiet", "--no-usage-report", "--summary-export"]);
        command.arg(summary).arg(script);
        Ok(())
    }
}

fn baleen(command: &mut Command, ask: &Ask) {
    let seconds = format!("{}s", ask.seconds);
    command.args(["load", &ask.url, "--threads", "1", "--format", "json", "--duration", &seconds]);
    // How exact it is, is to be seen, not hidden behind a refusal.
    command.args(["--late-max", "100%"]);
    match ask.rate {
        Some(rate) => command.args(["--arrivals", "constant", "--rate", &format!("{rate}/s")]),
        None => command.args(["--closed", &ask.connections.to_string()]),
    };
}

fn wrk(command: &mut Command, ask: &Ask) {
    command.args(["-t1", "--latency", &format!("-c{}", ask.connections)]);
    command.arg(format!("-d{}s", ask.seconds)).arg(&ask.url);
}

fn oha(command: &mut Command, ask: &Ask) {
    command.args(["--no-tui", "--output-format", "json", "-w"]);
    command.args(["-z", &format!("{}s", ask.seconds), "-c", &ask.connections.to_string()]);
    if let Some(rate) = ask.rate {
        command.args(["-q", &rate.to_string(), "--latency-correction"]);
    }
    command.arg(&ask.url);
}

fn k6_script(ask: &Ask) -> String {
    let (connections, seconds) = (ask.connections, ask.seconds);
    let scenario = match ask.rate {
        Some(rate) => format!(
            "executor: 'constant-arrival-rate', rate: {rate}, timeUnit: '1s', duration: '{seconds}s', \
             preAllocatedVUs: {connections}, maxVUs: 1000"
        ),
        None => format!("executor: 'constant-vus', vus: {connections}, duration: '{seconds}s'"),
    };
    format!(
        "import http from 'k6/http';\n\
         export const options = {{ discardResponseBodies: true, scenarios: {{ one: {{ {scenario} }} }},\n\
         summaryTrendStats: ['med', 'p(99)'] }};\n\
         export default function () {{ http.get('{}'); }}\n",
        ask.url
    )
}

fn of_baleen(text: &str) -> Option<Said> {
    let value: Value = serde_json::from_str(text).ok()?;
    let ms = |name: &str| Some(value["figures"]["latency_s"][name].as_f64()? * 1e3);
    let (p50_ms, p99_ms) = (ms("p50"), ms("p99"));
    Some(Said { requests: value["requests"]["done"].as_f64()?, p50_ms, p99_ms, cpu_s: 0.0 })
}

fn of_wrk(text: &str) -> Option<Said> {
    let percentile = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name))?.trim();
        [("us", 1e-3), ("ms", 1.0), ("s", 1e3)]
            .iter()
            .find_map(|(unit, factor)| Some(line.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
    };
    let line = text.lines().find(|line| line.contains(" requests in "))?;
    let requests = line.split_whitespace().next()?.parse().ok()?;
    Some(Said { requests, p50_ms: percentile("50%"), p99_ms: percentile("99%"), cpu_s: 0.0 })
}

fn of_oha(text: &str) -> Option<Said> {
    let value: Value = serde_json::from_str(text).ok()?;
    let ms = |name: &str| Some(value["latencyPercentiles"][name].as_f64()? * 1e3);
    let statuses = value["statusCodeDistribution"].as_object()?;
    let requests = statuses.values().filter_map(Value::as_f64).sum();
    Some(Said { requests, p50_ms: ms("p50"), p99_ms: ms("p99"), cpu_s: 0.0 })
}

fn of_k6(text: &str) -> Option<Said> {
    let value: Value = serde_json::from_str(text).ok()?;
    let metrics = &value["metrics"];
    let times = &metrics["http_req_duration"];
    let requests = metrics["http_reqs"]["count"].as_f64()?;
    Some(Said {
        requests,
        p50_ms: times["med"].as_f64(),
        p99_ms: times["p(99)"].as_f64(),
        cpu_s: 0.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_say_is_understood() {
        let wrk = "  Latency Distribution\n     50%   21.42ms\n     75%   1.00s\n     99%  890.00us\n  86 requests in 1.01s, 18KB read\n";
        let said = of_wrk(wrk).unwrap();
        assert_eq!((said.requests, said.p50_ms, said.p99_ms), (86.0, Some(21.42), Some(0.89)));
        let oha = r#"{"latencyPercentiles":{"p50":0.02,"p99":null},"statusCodeDistribution":{"200":90,"503":9}}"#;
        let said = of_oha(oha).unwrap();
        assert_eq!((said.requests, said.p50_ms, said.p99_ms), (99.0, Some(20.0), None));
        let k6 =
            r#"{"metrics":{"http_reqs":{"count":7},"http_req_duration":{"med":1.5,"p(99)":2.5}}}"#;
        let said = of_k6(k6).unwrap();
        assert_eq!((said.requests, said.p50_ms, said.p99_ms), (7.0, Some(1.5), Some(2.5)));
        assert_eq!(of_wrk("nothing"), None);
        assert_eq!(of_baleen("{}"), None);
    }
}
