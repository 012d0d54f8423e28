//! A figure and how figures are shown: a table for people, JSON for machines. It measures nothing.

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// One measured value, with what it is compared to in the same run.
pub struct Figure {
    name: String,
    value: f64,
    unit: Unit,
    against: Option<(String, f64)>,
    goal: Option<Goal>,
}

/// What a value counts.
#[derive(Clone, Copy)]
pub enum Unit {
    /// Shown in the unit that reads best.
    Seconds,
    /// Shown in KiB or MiB.
    Bytes,
    /// Calls or requests in a second.
    PerSecond,
    /// Things.
    Count,
}

/// What the project promised.
pub enum Goal {
    /// The value is at most this.
    AtMost(f64),
    /// The ratio is at most this.
    RatioAtMost(f64),
    /// The ratio is at least this.
    RatioAtLeast(f64),
}

impl Figure {
    /// A value of its own.
    pub fn new(name: impl Into<String>, unit: Unit, value: f64) -> Self {
        Self { name: name.into(), value, unit, against: None, goal: None }
    }

    /// A duration.
    pub fn time(name: impl Into<String>, value: Duration) -> Self {
        Self::new(name, Unit::Seconds, value.as_secs_f64())
    }

    /// Compares with another value of the same unit, taken in the same run.
    pub fn against(mut self, what: impl Into<String>, value: f64) -> Self {
        self.against = Some((what.into(), value));
        self
    }

    /// Says what was promised.
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.against.as_ref().map(|(_, other)| self.value / other)
    }

    fn is_met(&self) -> Option<bool> {
        Some(match self.goal.as_ref()? {
            Goal::AtMost(limit) => self.value <= *limit,
            Goal::RatioAtMost(limit) => self.ratio()? <= *limit,
            Goal::RatioAtLeast(limit) => self.ratio()? >= *limit,
        })
    }

    fn goal_in_words(&self) -> String {
        match &self.goal {
            None => String::new(),
            Some(Goal::AtMost(limit)) => format!("≤ {}", self.unit.show(*limit)),
            Some(Goal::RatioAtMost(limit)) => format!("ratio ≤ {limit}"),
            Some(Goal::RatioAtLeast(limit)) => format!("ratio ≥ {limit}"),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "unit": self.unit.name(),
            "value": self.value,
            "against": self.against.as_ref().map(|(what, value)| json!({"name": what, "value": value})),
            "ratio": self.ratio(),
            "goal": self.goal.as_ref().map(|_| self.goal_in_words()),
            "met": self.is_met(),
        })
    }

    fn cells(&self) -> [String; 5] {
        let compared = |(what, value): &(String, f64)| format!("{} {what}", self.unit.show(*value));
        let verdict = match self.is_met() {
            None => String::new(),
            Some(true) => format!("{} met", self.goal_in_words()),
            Some(false) => format!("{} MISSED", self.goal_in_words()),
        };
        let ratio = self.ratio().map(|ratio| if ratio < 10.0 { format!("{ratio:.3}") } else { format!("{ratio:.1}") });
        let against = self.against.as_ref().map(compared).unwrap_or_default();
        [self.name.clone(), self.unit.show(self.value), ratio.unwrap_or_default(), against, verdict]
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::PerSecond => "per second",
            Self::Count => "count",
        }
    }

    fn show(self, value: f64) -> String {
        const KIB: f64 = 1024.0;
        match self {
            Self::Seconds if value < 1e-3 => format!("{:.1} µs", value * 1e6),
            Self::Seconds if value < 1.0 => format!("{:.2} ms", value * 1e3),
            Self::Seconds => format!("{value:.1} s"),
            Self::Bytes if value < KIB * KIB => format!("{:.1} KiB", value / KIB),
            Self::Bytes => format!("{:.1} MiB", value / KIB / KIB),
            Self::PerSecond => format!("{value:.0} /s"),
            Self::Count => format!("{value:.0}"),
        }
    }
}

/// All figures of a run as a table.
pub fn table(figures: &[Figure]) -> String {
    let head = ["figure", "value", "ratio", "against", "goal"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(figures.iter().map(Figure::cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let _ = write!(line, "{cell:<width$}  ", width = width(column));
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Which figures missed their goal, against what, and what that was.
pub fn missed(figures: &[Figure]) -> Vec<String> {
    let missed = figures.iter().filter(|figure| figure.is_met() == Some(false));
    let words = |figure: &Figure| {
        let against = figure.against.as_ref().map(|(what, _)| format!(" against {what}")).unwrap_or_default();
        format!("{}{against}: {}", figure.name, figure.goal_in_words())
    };
    missed.map(words).collect()
}

/// All figures of a run, with the machine they were taken on.
pub fn document(figures: &[Figure], machine: Value) -> Value {
    json!({"machine": machine, "figures": figures.iter().map(Figure::to_json).collect::<Vec<_>>()})
}

/// The value below which `percent` of the sorted samples lie.
pub fn percentile<T: Copy>(sorted: &[T], percent: usize) -> T {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_held_against_its_goal() {
        let figure = |goal| Figure::new("x", Unit::Count, 3.0).against("y", 2.0).goal(goal);
        assert_eq!(figure(Goal::RatioAtMost(1.5)).is_met(), Some(true));
        assert_eq!(figure(Goal::RatioAtLeast(1.6)).is_met(), Some(false));
        assert_eq!(figure(Goal::AtMost(2.9)).is_met(), Some(false));
        let json = figure(Goal::AtMost(3.0)).to_json();
        assert_eq!((json["ratio"].as_f64(), json["met"].as_bool()), (Some(1.5), Some(true)));
        assert!(table(&[figure(Goal::RatioAtLeast(1.6))]).contains("1.500  2 y"));
    }

    #[test]
    fn a_missed_goal_is_named_and_a_figure_without_one_is_not() {
        let figure = |name| Figure::new(name, Unit::Count, 3.0).against("x", 2.0);
        let figures = [figure("a").goal(Goal::AtMost(3.0)), figure("b"), figure("c").goal(Goal::RatioAtMost(1.4))];
        assert_eq!(missed(&figures), ["c against x: ratio ≤ 1.4"]);
        assert!(missed(&figures[..2]).is_empty());
        let unknown = Figure::new("d", Unit::Count, f64::NAN).goal(Goal::AtMost(1.0));
        assert_eq!(missed(&[unknown]).len(), 1, "what is no number meets nothing");
    }

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<u32> = (0..100).collect();
        assert_eq!((percentile(&samples, 50), percentile(&samples, 99), percentile(&samples, 100)), (50, 99, 99));
    }
}
