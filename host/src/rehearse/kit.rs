//! The bootstrap kit as a film: which release shows what, at which moment.
//!
//! Pure: a moment in, the look of every release out. Names and order are those of the kit of the earlier service.

use std::time::Duration;

/// One release of the kit.
#[derive(Debug, PartialEq, Eq)]
pub struct Release {
    /// Name of the HelmRelease.
    pub name: &'static str,
    /// Releases that must be there before.
    pub needs: &'static [&'static str],
    /// How long it takes, against the others.
    weight: u32,
}

const fn release(name: &'static str, needs: &'static [&'static str], weight: u32) -> Release {
    Release { name, needs, weight }
}

/// The kit, every release behind those that it needs.
pub const KIT: [Release; 11] = [
    release("bp-cilium", &[], 3),
    release("bp-cert-manager", &["bp-cilium"], 2),
    release("bp-flux", &["bp-cert-manager"], 2),
    release("bp-crossplane", &["bp-flux"], 3),
    release("bp-sealed-secrets", &["bp-cert-manager"], 1),
    release("bp-spire", &["bp-cert-manager"], 2),
    release("bp-nats-jetstream", &["bp-spire"], 2),
    release("bp-openbao", &["bp-spire"], 3),
    release("bp-keycloak", &["bp-cert-manager"], 3),
    release("bp-gitea", &["bp-keycloak"], 2),
    release("bp-catalyst-platform", &["bp-gitea"], 3),
];

/// Time before Flux applies the kit, and before it looks at what it applied, in weights.
const APPLIED_AT: f64 = 1.0;
const LOOKED_AT: f64 = 1.5;
/// Tries that helm-controller makes after the first.
pub const RETRIES: u32 = 3;
/// A try of a release that fails, and the part of it until it fails, in weights.
const TRY: f64 = 1.0;
const TRY_FAILS_AT: f64 = 0.7;

/// What a release shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Not applied yet.
    Absent,
    /// Applied; helm-controller has not looked at it.
    Fresh,
    /// Waits for another release.
    Waits(&'static str),
    /// Being installed; number of the try, from 0.
    Installing(u32),
    /// That try failed and another follows.
    FailedOnce(u32),
    /// Failed for good.
    Failed,
    /// There.
    Installed,
}

impl Look {
    /// Whether it stays like this.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Installed)
    }
}

/// How the film goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Film {
    weight_seconds: f64,
    fails: Option<&'static str>,
}

/// The kit has no such release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the kit has no release `{name}`; there are {}", names())]
pub struct UnknownRelease {
    /// What was asked for.
    pub name: String,
}

fn names() -> String {
    KIT.iter().map(|release| release.name).collect::<Vec<_>>().join(", ")
}

impl Film {
    /// A film in which the last release is there after `length`. The one that `fails` may be named with or without `bp-`.
    ///
    /// # Errors
    /// [`UnknownRelease`].
    pub fn new(length: Duration, fails: Option<&str>) -> Result<Self, UnknownRelease> {
        let find = |name: &str| {
            let found = KIT.iter().find(|r| r.name == name || r.name.strip_prefix("bp-") == Some(name));
            found.map(|release| release.name).ok_or_else(|| UnknownRelease { name: name.to_owned() })
        };
        let unit = Self { weight_seconds: 1.0, fails: None };
        let last = KIT.iter().filter_map(|release| unit.end_of(release)).fold(0.0, f64::max);
        Ok(Self { weight_seconds: length.as_secs_f64() / last, fails: fails.map(find).transpose()? })
    }

    /// What each release shows at that time after the beginning.
    pub fn at(&self, time: Duration) -> [(&'static Release, Look); 11] {
        KIT.each_ref().map(|release| (release, self.look(release, time.as_secs_f64())))
    }

    fn look(&self, release: &Release, now: f64) -> Look {
        if now < APPLIED_AT * self.weight_seconds {
            return Look::Absent;
        }
        if now < LOOKED_AT * self.weight_seconds {
            return Look::Fresh;
        }
        let missing = needed(release).find(|need| self.end_of(need).is_none_or(|end| now < end));
        if let Some(missing) = missing {
            return Look::Waits(missing.name);
        }
        let Some(begin) = self.begin_of(release) else { return Look::Fresh };
        if self.fails == Some(release.name) {
            return self.failing(now - begin);
        }
        if self.end_of(release).is_some_and(|end| now >= end) { Look::Installed } else { Look::Installing(0) }
    }

    fn failing(&self, since: f64) -> Look {
        let tries = (since / (TRY * self.weight_seconds)).max(0.0);
        let part = tries.fract();
        (0..=RETRIES).find(|number| tries < f64::from(*number + 1)).map_or(Look::Failed, |number| match number {
            _ if part < TRY_FAILS_AT => Look::Installing(number),
            RETRIES => Look::Failed,
            _ => Look::FailedOnce(number),
        })
    }

    /// Seconds; `None` when something before it never comes.
    fn begin_of(&self, release: &Release) -> Option<f64> {
        needed(release).try_fold(LOOKED_AT * self.weight_seconds, |begin, need| Some(begin.max(self.end_of(need)?)))
    }

    fn end_of(&self, release: &Release) -> Option<f64> {
        if self.fails == Some(release.name) {
            return None;
        }
        Some(self.begin_of(release)? + f64::from(release.weight) * self.weight_seconds)
    }
}

fn needed(release: &Release) -> impl Iterator<Item = &'static Release> {
    release.needs.iter().filter_map(|name| KIT.iter().find(|other| other.name == *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(30);

    fn looks(film: &Film, milliseconds: u64) -> Vec<Look> {
        film.at(Duration::from_millis(milliseconds)).map(|(_, look)| look).to_vec()
    }

    #[test]
    fn every_need_stands_before_the_release() {
        for (index, release) in KIT.iter().enumerate() {
            for need in release.needs {
                assert!(KIT.iter().take(index).any(|other| other.name == *need), "{} needs {need}", release.name);
            }
        }
    }

    #[test]
    fn the_film_begins_with_nothing_and_ends_in_time_with_all() {
        let film = Film::new(LENGTH, None).unwrap();
        assert!(looks(&film, 0).iter().all(|look| *look == Look::Absent));
        assert!(looks(&film, 29_900).iter().any(|look| !look.is_final()));
        assert!(looks(&film, 30_001).iter().all(|look| *look == Look::Installed));
    }

    #[test]
    fn nothing_installs_before_its_needs_and_nothing_goes_back() {
        for fails in [None, Some("spire"), Some("bp-catalyst-platform")] {
            let film = Film::new(LENGTH, fails).unwrap();
            let mut before = looks(&film, 0);
            for time in (0..60_000).step_by(37) {
                let now = film.at(Duration::from_millis(time));
                for (release, look) in now {
                    let working = !matches!(look, Look::Absent | Look::Fresh | Look::Waits(_));
                    let there = |name: &&str| now.iter().any(|(r, l)| r.name == *name && *l == Look::Installed);
                    assert!(!working || release.needs.iter().all(there), "{} at {time}: {look:?}", release.name);
                }
                let after = looks(&film, time);
                for (old, new) in before.iter().zip(&after) {
                    assert!(!old.is_final() || old == new, "{old:?} became {new:?} at {time}");
                }
                before = after;
            }
        }
    }

    #[test]
    fn what_fails_is_tried_four_times_and_what_needs_it_waits_for_ever() {
        let film = Film::new(LENGTH, Some("spire")).unwrap();
        let mut seen: Vec<Look> = Vec::new();
        for time in (0..300_000).step_by(20) {
            let look = film.at(Duration::from_millis(time)).iter().find(|(r, _)| r.name == "bp-spire").unwrap().1;
            if seen.last() != Some(&look) {
                seen.push(look);
            }
        }
        let tail = [
            Look::Installing(0),
            Look::FailedOnce(0),
            Look::Installing(1),
            Look::FailedOnce(1),
            Look::Installing(2),
            Look::FailedOnce(2),
            Look::Installing(3),
            Look::Failed,
        ];
        assert!(seen.ends_with(&tail), "{seen:?}");
        let end = film.at(Duration::from_secs(300));
        let of = |name: &str| end.iter().find(|(release, _)| release.name == name).unwrap().1;
        assert_eq!(of("bp-openbao"), Look::Waits("bp-spire"));
        assert_eq!(of("bp-catalyst-platform"), Look::Installed);
    }

    #[test]
    fn an_unknown_release_is_named() {
        let error = Film::new(LENGTH, Some("nope")).unwrap_err().to_string();
        assert!(error.contains("`nope`") && error.contains("bp-cilium"), "{error}");
    }
}
