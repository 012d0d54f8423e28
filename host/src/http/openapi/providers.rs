//! What is known of clouds.

use super::route::{Route, in_path, text};
use crate::http::error::ApiError;
use crate::http::providers::{ProviderDetails, ProviderList};

pub fn routes() -> Vec<Route> {
    vec![list(), get()]
}

fn list() -> Route {
    let place = ("GET", "/api/v1/providers");
    Route::new(place, "providers", "listProviders", "The clouds that this host can make")
        .answers::<ProviderList>(200, "Plugins that serve, and files that could not be loaded.")
}

fn get() -> Route {
    let place = ("GET", "/api/v1/providers/{id}");
    Route::new(place, "providers", "getProvider", "Everything that a plugin declares")
        .takes(in_path("id", "The provider.", text()))
        .answers::<ProviderDetails>(200, "It.")
        .fails([ApiError::UnknownProvider])
}
