//! The same drill several times; one that says nothing is done again, a stated number of times.
//!
//! Not here: a drill (`baleen_drill::run`). Tested: below.

use baleen_scenario::compare::Samples;
use baleen_scenario::outcome::Run;
use baleen_sim::many::seed_of;

use crate::exit::Failure;
use crate::out;

/// So many void drills are done again, of all together.
pub const AGAIN_MAX: u32 = 2;

/// What came of one.
pub struct One {
    pub run: Run,
    /// Why it says nothing.
    pub void: Vec<String>,
    /// What is good to know.
    pub notes: Vec<String>,
    /// Service times before the fault.
    pub samples: Samples,
}

/// What came of all.
#[derive(Default)]
pub struct Drills {
    pub runs: Vec<Run>,
    pub samples: Samples,
    /// Each once.
    pub notes: Vec<String>,
    /// Why some were done again.
    pub void: Vec<String>,
}

/// Drills so many times that say something, each with a seed of its own.
pub fn drills<E: From<Failure>>(
    count: u32,
    first: u64,
    mut drill: impl FnMut(u64) -> Result<One, E>,
) -> Result<Drills, E> {
    let mut all = Drills::default();
    let mut tried = 0;
    while all.runs.len() < count as usize {
        let nth = all.runs.len() + 1;
        let One { run, mut void, notes, samples } = drill(seed_of(first, tried))?;
        tried += 1;
        if let Some(why) = &run.stopped {
            let failure = Failure::environment(format!("drill {nth} ended early: {why}"));
            let failure = failure.hint("its figures are of a part; loosen the guard, or the load");
            return Err(failure.into());
        }
        // Whoever can't account for all it was told has no figures.
        void.extend(run.violations.iter().map(|v| format!("an account that is not even: {v}")));
        if let Some(why) = void.first() {
            let why = match void.len() {
                1 => why.clone(),
                n => format!("{why}; and {} more", n - 1),
            };
            if all.void.len() == AGAIN_MAX as usize {
                let most = AGAIN_MAX + 1;
                let failure = Failure::environment(format!("drills are void, {most} times: {why}"));
                let failure = failure.hint("free the machine, or lower the load of the scenario");
                return Err(failure.into());
            }
            out::say(format_args!("drill {nth} is void and done again: {why}"));
            all.void.push(why);
            continue;
        }
        let good = run.phases.iter().find(|p| p.name == "whole").and_then(|p| p.figures.first());
        let good = good.map_or(0.0, |f| f.success * 100.0);
        let calls = run.calls;
        out::say(format_args!("drill {nth} of {count}: {calls} calls, {good:.2} % answered well"));
        for note in notes {
            if !all.notes.contains(&note) {
                all.notes.push(note);
            }
        }
        all.samples.add(samples);
        all.runs.push(run);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(void: &[&str]) -> One {
        let text = "[scenario]\ntitle = \"x\"\nduration = \"1s\"\n[[workload]]\nname = \"w\"\nto = \"s\"\nrate = \"10/s\"\n\
                    [service.s]\ntime = \"1ms\"\n";
        let loaded = baleen_scenario::parse_str("x.toml", text, &[]);
        let scenario = loaded.expect("a scenario").0;
        let end = baleen_base::Tick::from_millis(1000);
        let run = baleen_scenario::Recorder::new(&scenario).finish(&scenario, 1, end, 0, 0);
        let void = void.iter().map(ToString::to_string).collect();
        One { run, void, notes: vec!["a note".to_owned()], samples: Samples::default() }
    }

    #[test]
    fn void_ones_are_done_again_with_another_seed() {
        let mut seeds = Vec::new();
        let done = drills(3, 7, |seed| {
            seeds.push(seed);
            Ok::<_, Failure>(one(if seeds.len() == 2 { &["busy", "late"] } else { &[] }))
        });
        let done = done.expect("three that say something");
        assert_eq!((done.runs.len(), done.notes.len()), (3, 1));
        assert_eq!(done.void, ["busy; and 1 more"]);
        assert_eq!(seeds.len(), 4);
        seeds.dedup();
        assert_eq!(seeds.len(), 4);
    }

    #[test]
    fn too_many_void_ones_are_a_failure() {
        let mut times = 0;
        let failed = drills(3, 7, |_| {
            times += 1;
            Ok::<_, Failure>(one(&["busy"]))
        });
        let why = format!("{:?}", failed.err().expect("a failure"));
        assert!(why.contains("void, 3 times: busy") && why.contains("Environment"), "{why}");
        assert_eq!(times, 3);
    }

    #[test]
    fn accounts_that_are_not_even_say_nothing_and_guards_end_it() {
        let mut times = 0;
        let done = drills(1, 7, |_| {
            times += 1;
            let mut one = one(&[]);
            if times == 1 {
                one.run.violations.push("one is missing".to_owned());
            }
            Ok::<_, Failure>(one)
        });
        assert!(done.expect("one").void[0].contains("one is missing"));
        let failed = drills(1, 7, |_| {
            let mut one = one(&[]);
            one.run.stopped = Some("a guard".to_owned());
            Ok::<_, Failure>(one)
        });
        assert!(format!("{:?}", failed.err()).contains("ended early: a guard"));
        let failed = drills(1, 7, |_| Err::<One, _>(Failure::environment("no port")));
        assert!(format!("{:?}", failed.err()).contains("no port"));
    }
}
