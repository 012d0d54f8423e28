//! Who gets a place, who leaves for whom, and who is refused, with a clock of the test.

use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn enter(places: &Arc<Places>, from: &str, now: Millis) -> Result<Place, Full> {
    places.enter_at(address(from), Exempt::No, now)
}

fn filled(places: &Arc<Places>, from: &str, count: usize, now: Millis) -> Vec<Place> {
    (0..count).map(|_| enter(places, from, now).unwrap()).collect()
}

/// Puts a connection where a request of this kind would, at this moment.
fn set(place: &Place, activity: Activity, now: Millis) {
    place.connection.activity.store(packed(activity, now), Ordering::Release);
}

fn is_leaving(place: &Place) -> bool {
    activity(place.connection.activity.load(Ordering::Acquire)) == Activity::Leaving
}

#[test]
fn one_address_has_its_share_and_no_more_and_others_have_the_rest() {
    let places = Places::new(80, 40);
    let held = filled(&places, "192.0.2.1", 40, 0);
    assert_eq!(enter(&places, "192.0.2.1", 10).err(), Some(Full::Address));
    assert_eq!(enter(&places, "::ffff:192.0.2.1", 10).err(), Some(Full::Address), "it is the same address");
    assert!(enter(&places, "192.0.2.2", 10).is_ok());
    drop(held);
    assert!(enter(&places, "192.0.2.1", 20).is_ok(), "places that are free again are taken again");
    assert!(places.table().addresses.is_empty() && places.table().strangers == 0);
}

#[test]
fn a_network_of_ipv6_is_one_address_however_its_ends_change() {
    let places = Places::new(80, 40);
    let _held: Vec<Place> = (0..40).map(|n| enter(&places, &format!("2001:db8::{n:x}"), 0).unwrap()).collect();
    assert_eq!(enter(&places, "2001:db8::ffff:1", 10).err(), Some(Full::Address));
    assert!(enter(&places, "2001:db8:0:1::1", 10).is_ok(), "the next network is another");
}

#[test]
fn at_its_share_an_address_loses_its_own_idle_ones_oldest_first_and_never_those_in_work() {
    let places = Places::new(800, 4);
    let held = filled(&places, "192.0.2.1", 4, 0);
    let other = enter(&places, "192.0.2.2", 0).unwrap();
    set(&held[0], Activity::Work, 0);
    set(&held[1], Activity::Body, 0);
    set(&held[2], Activity::Idle, 0);
    set(&held[3], Activity::Headless, 0);
    let left = |n: usize| (0..4).filter(|n| is_leaving(&held[*n])).count() == n;
    let mut came = Vec::new();
    for (count, gone) in [(1, 3), (2, 2), (3, 1)] {
        came.push(enter(&places, "192.0.2.1", 6_000).unwrap());
        set(came.last().unwrap(), Activity::Work, 6_000);
        assert!(left(count) && is_leaving(&held[gone]), "{count}");
    }
    assert_eq!(enter(&places, "192.0.2.1", 6_000).err(), Some(Full::Address), "all that are left are in work");
    assert!(!is_leaving(&held[0]) && !is_leaving(&other));
}

#[test]
fn who_only_just_came_is_given_time_for_its_head() {
    let places = Places::new(800, 2);
    let _held = filled(&places, "192.0.2.1", 2, 1_000);
    assert_eq!(enter(&places, "192.0.2.1", 1_000 + OWN_PATIENCE - 1).err(), Some(Full::Address));
    assert!(enter(&places, "192.0.2.1", 1_000 + OWN_PATIENCE + LOOK_PAUSE).is_ok());
}

#[test]
fn strangers_cannot_take_the_last_places_and_known_callers_and_proxies_can() {
    let places = Places::new(80, 80);
    let mut held = filled(&places, "192.0.2.1", 70, 0);
    held.iter().for_each(|place| set(place, Activity::Work, 0));
    let judged = enter(&places, "192.0.2.2", 10).unwrap();
    assert!(judged.is_on_probation(), "it is looked at and may not stay");
    judged.mark_known();
    assert!(!judged.is_on_probation(), "it showed a right credential");
    assert!(!enter(&places, "192.0.2.2", 10).unwrap().is_on_probation(), "its address is remembered");
    assert!(!places.enter_at(address("192.0.2.9"), Exempt::Yes, 10).unwrap().is_on_probation());
    assert!(enter(&places, "192.0.2.3", 10).unwrap().is_on_probation());
    held.truncate(69);
    assert!(!enter(&places, "192.0.2.3", 10).unwrap().is_on_probation());
}

#[test]
fn a_new_address_gets_in_past_half_requests_of_many_others_and_a_stream_stays() {
    let places = Places::new(8, 8);
    let held: Vec<Place> = (0..7).map(|n| enter(&places, &format!("192.0.2.{n}"), n).unwrap()).collect();
    set(&held[0], Activity::Work, 0);
    let came = enter(&places, "198.51.100.1", 500).unwrap();
    assert!(!came.is_on_probation() && is_leaving(&held[1]) && !is_leaving(&held[0]), "the oldest of them left");
    set(&came, Activity::Work, 500);
    for place in &held[2..] {
        set(place, Activity::Work, 500);
    }
    let last = enter(&places, "198.51.100.2", 600).unwrap();
    assert!(last.is_on_probation());
    set(&last, Activity::Work, 600);
    assert_eq!(enter(&places, "198.51.100.3", 700).err(), Some(Full::All));
}

#[test]
fn a_known_connection_does_not_leave_for_a_stranger() {
    let places = Places::new(8, 8);
    let held = filled(&places, "192.0.2.1", 7, 0);
    held.iter().for_each(Place::mark_known);
    let strangers = filled(&places, "198.51.100.1", 1, 0);
    set(&strangers[0], Activity::Work, 0);
    assert_eq!(enter(&places, "198.51.100.2", 10_000).err(), Some(Full::All));
    assert!(enter(&places, "192.0.2.1", 10_100).is_ok(), "one of its own that is idle leaves for a known one");
}

#[test]
fn a_head_that_comes_when_the_connection_was_told_to_leave_is_not_begun() {
    let places = Places::new(8, 1);
    let held = enter(&places, "192.0.2.1", 0).unwrap();
    let _came = enter(&places, "192.0.2.1", 5_000).unwrap();
    assert!(!held.begins(HasBody::No));
    held.answered();
    held.flushed();
    assert!(is_leaving(&held), "what ends later does not bring it back");
    let table = places.table();
    assert_eq!((table.connections.len(), table.leaving), (1, 1));
    drop(table);
    drop(held);
    assert_eq!(places.table().leaving, 0);
}

#[tokio::test]
async fn who_is_told_to_leave_hears_it_also_when_it_listens_later() {
    let places = Places::new(8, 1);
    let held = enter(&places, "192.0.2.1", 0).unwrap();
    let _came = enter(&places, "192.0.2.1", 5_000).unwrap();
    tokio::time::timeout(Duration::from_secs(10), held.told_to_leave()).await.unwrap();
}

#[test]
fn what_is_remembered_is_bounded_and_ends() {
    let places = Places::new(80, 80);
    for n in 0..u32::try_from(KNOWN).unwrap() + 100 {
        places.table().remember(IpAddr::from(n.to_be_bytes()), 0);
    }
    assert!(places.table().known.len() <= KNOWN);
    places.table().remember(address("192.0.2.1"), KNOWN_FOR);
    assert!(places.table().knows(address("192.0.2.1"), KNOWN_FOR + 1) && places.table().known.len() == 1);
    assert!(!places.table().knows(address("192.0.2.1"), 2 * KNOWN_FOR));
}

#[test]
fn racing_newcomers_of_one_address_get_its_share_exactly() {
    let places = Places::new(4_096, 100);
    let kept = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    if let Ok(place) = enter(&places, "192.0.2.1", 0) {
                        kept.lock().unwrap().push(place);
                    }
                }
            });
        }
    });
    assert_eq!(kept.lock().unwrap().len(), 100);
}
