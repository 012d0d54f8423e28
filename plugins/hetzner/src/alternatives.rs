//! Other choices for a server that could not be had, the nearest first: the type that replaces it, as much memory from
//! another stock at the same place, then the same type at another place.

use catalyst_plugin_sdk::{Alternative, Asked};

use crate::catalogue::{self, LOCATIONS, Server};

/// Most other types, so that other places are named too.
const MOST_TYPES: usize = 3;
/// Most choices: a person reads them.
const MOST: usize = 6;

/// Choices for the type and place that a message in lower case names, or else for those that were asked for, since the cloud
/// rarely says of what there is none; `address` is the resource that failed.
pub(crate) fn to(text: &str, asked: &Asked, address: Option<&str>) -> Vec<Alternative> {
    let location = location_in(text).or_else(|| location_in(&asked.region));
    let mut sizes = [asked.control_plane_size.as_str(), asked.worker_size.as_str()];
    if address.is_some_and(|address| address.contains(".worker")) {
        sizes.reverse();
    }
    let asked_for = || sizes.into_iter().find_map(catalogue::server);
    let mut found = match servers_in(text).next().or_else(asked_for) {
        Some(server) => of_server(server, location),
        None => places(location, None, None),
    };
    found.truncate(MOST);
    found
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
}

fn location_in(text: &str) -> Option<&'static str> {
    words(text).find_map(|word| LOCATIONS.iter().map(|(id, ..)| *id).find(|id| *id == word))
}

fn servers_in(text: &str) -> impl Iterator<Item = &'static Server> {
    words(text).filter_map(catalogue::server)
}

fn of_server(asked: &'static Server, location: Option<&'static str>) -> Vec<Alternative> {
    let next = asked.successor.and_then(catalogue::server).unwrap_or(asked);
    let offered = |server: &Server| location.is_none_or(|place| catalogue::is_offered(server.name, place));
    let mut found = Vec::new();
    if next.name != asked.name && offered(next) {
        found.push(of_type(next, "the current type of the same size"));
    }
    // Of one architecture, since images may not be built for the other. Where the place is not known, only what is offered
    // at every place.
    let everywhere = |server: &Server| location.is_some() || !catalogue::only_in_europe(server.name);
    let mut alike: Vec<&Server> = catalogue::current()
        .filter(|server| server.name != asked.name && server.name != next.name && server.memory_gib == asked.memory_gib)
        .filter(|server| server.is_arm() == asked.is_arm() && offered(server) && everywhere(server))
        .collect();
    alike.sort_by_key(|server| server.monthly_cents.unwrap_or(u32::MAX));
    found
        .extend(alike.into_iter().take(MOST_TYPES).map(|server| of_type(server, "as much memory, from another stock")));
    found.extend(places(location, Some(next), (next.name != asked.name).then_some(next)));
    found
}

fn of_type(server: &Server, why: &str) -> Alternative {
    Alternative {
        region: None,
        machine_type: Some(server.name.to_owned()),
        reason: format!("server type {} ({why})", server.name),
    }
}

/// Other locations where a type is offered, those of the same continent first.
fn places(location: Option<&str>, offering: Option<&Server>, with: Option<&Server>) -> Vec<Alternative> {
    let near = location.is_none_or(catalogue::is_european);
    let mut others: Vec<_> = LOCATIONS
        .iter()
        .filter(|(id, ..)| Some(*id) != location)
        .filter(|(id, ..)| offering.is_none_or(|server| catalogue::is_offered(server.name, id)))
        .collect();
    others.sort_by_key(|(_, _, european)| *european != near);
    let place = |(id, name, _): &(&str, &str, bool)| Alternative {
        region: Some((*id).to_owned()),
        machine_type: with.map(|server| server.name.to_owned()),
        reason: match with {
            Some(server) => format!("{} in {id} ({name})", server.name),
            None => format!("region {id} ({name})"),
        },
    };
    others.into_iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(region: &str, control_plane_size: &str, worker_size: &str) -> Asked {
        Asked {
            region: region.to_owned(),
            control_plane_size: control_plane_size.to_owned(),
            worker_size: worker_size.to_owned(),
            ..Asked::default()
        }
    }

    const NO_STOCK: &str = "error during placement (resource_unavailable, 1d1d17e504e28a4c)";

    /// Type and place of each choice.
    fn choices(text: &str, asked: &Asked, address: Option<&str>) -> Vec<(Option<String>, Option<String>)> {
        to(text, asked, address).into_iter().map(|choice| (choice.machine_type, choice.region)).collect()
    }

    fn types(text: &str, asked: &Asked, address: Option<&str>) -> Vec<String> {
        let of_type = choices(text, asked, address).into_iter().filter(|(_, place)| place.is_none());
        of_type.filter_map(|(name, _)| name).collect()
    }

    fn regions(text: &str, asked: &Asked) -> Vec<String> {
        choices(text, asked, None).into_iter().filter_map(|(_, place)| place).collect()
    }

    #[test]
    fn the_successor_comes_first_then_the_cheapest_alike_then_places_nearby() {
        let text = "server type cx42 in location nbg1 can no longer be ordered";
        let nothing = Asked::default();
        assert_eq!(types(text, &nothing, None), ["cx43", "cpx42", "ccx23"]);
        assert_eq!(regions(text, &nothing), ["fsn1", "hel1"], "where the successor is offered");
        let moved = choices(text, &nothing, None).into_iter().filter(|(_, place)| place.is_some());
        assert!(
            moved.into_iter().all(|(name, _)| name.as_deref() == Some("cx43")),
            "the retired one is gone there too"
        );
    }

    #[test]
    fn what_the_cloud_leaves_out_is_taken_from_what_was_asked_for() {
        let asked = asked("ash", "cpx42", "cpx32");
        let server = types(NO_STOCK, &asked, Some("hcloud_server.control_plane[0]"));
        assert_eq!(server, ["ccx23"], "cx43 is not offered there");
        assert_eq!(types(NO_STOCK, &asked, Some("hcloud_server.worker[3]")), ["ccx13"]);
        let places = regions(NO_STOCK, &asked);
        assert_eq!(places[..2], ["hil", "sin"], "not the place that has none, and not across the ocean first");
    }

    #[test]
    fn a_type_of_europe_asked_for_elsewhere_is_offered_alike_there_or_itself_in_europe() {
        let (text, asked) = ("unsupported location for server type", asked("sin", "cx43", ""));
        assert_eq!(types(text, &asked, None), ["cpx42", "ccx23"]);
        assert_eq!(regions(text, &asked), ["fsn1", "nbg1", "hel1"]);
    }

    #[test]
    fn arm_stays_arm_and_nothing_known_offers_places_alone() {
        let arm = types(NO_STOCK, &asked("fsn1", "cax31", ""), None);
        assert_eq!(arm, Vec::<String>::new(), "images may not be built for the other architecture");
        assert_eq!(regions(NO_STOCK, &Asked::default()).len(), LOCATIONS.len());
    }

    #[test]
    fn reasons_name_the_choice_since_they_are_read_alone() {
        for choice in to("server type cx42 in location nbg1 is deprecated", &Asked::default(), None) {
            let names = [choice.machine_type, choice.region].into_iter().flatten();
            assert!(names.into_iter().all(|name| choice.reason.contains(&name)), "{}", choice.reason);
        }
    }
}
