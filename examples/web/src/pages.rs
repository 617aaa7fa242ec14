//! The pages, their scripts and their style. All of them are part of the program.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use minijinja::{Environment, context};

use crate::site::Site;

/// What all pages are made of.
pub struct Pages(Environment<'static>);

impl Pages {
    /// The templates, which are part of the program.
    ///
    /// # Panics
    ///
    /// A template is wrong; a test renders all of them.
    #[must_use]
    pub fn new() -> Pages {
        let mut environment = Environment::new();
        for (name, template) in TEMPLATES {
            environment.add_template(name, template).expect("a test renders all of them");
        }
        Pages(environment)
    }

    /// The page at this path, if there is one.
    #[must_use]
    pub fn render(&self, path: &str) -> Option<String> {
        let (_, name, title) = PAGES.iter().find(|(at, ..)| *at == path)?;
        let template = self.0.get_template(name).ok()?;
        template.render(context! { title, path, pages => PAGES.map(|(path, _, title)| (path, title)) }).ok()
    }
}

impl Default for Pages {
    fn default() -> Pages {
        Pages::new()
    }
}

/// A page.
pub async fn page(State(site): State<Site>, uri: http::Uri) -> Response {
    let told = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    match site.pages().render(uri.path()) {
        Some(page) => (told, page).into_response(),
        None => nothing().await,
    }
}

/// A script, the style, or the icon.
pub async fn asset(Path(name): Path<String>) -> Response {
    let Some((_, text)) = ASSETS.iter().find(|(known, _)| *known == name) else { return nothing().await };
    let kind = match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        _ => "image/svg+xml",
    };
    let told = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (told, *text).into_response()
}

/// What is at every other path.
pub async fn nothing() -> Response {
    (StatusCode::NOT_FOUND, "there is nothing here\n").into_response()
}

/// Path, template and title.
pub const PAGES: [(&str, &str, &str); 5] = [
    ("/", "index.html", "openline"),
    ("/text", "text.html", "Live text"),
    ("/chat", "chat.html", "Chat"),
    ("/auction", "auction.html", "Auction"),
    ("/compare", "compare.html", "Three ways"),
];

const TEMPLATES: [(&str, &str); 6] = [
    ("base.html", include_str!("../templates/base.html")),
    ("index.html", include_str!("../templates/index.html")),
    ("text.html", include_str!("../templates/text.html")),
    ("chat.html", include_str!("../templates/chat.html")),
    ("auction.html", include_str!("../templates/auction.html")),
    ("compare.html", include_str!("../templates/compare.html")),
];

const ASSETS: [(&str, &str); 10] = [
    ("live.js", include_str!("../../../live/live.js")),
    ("style.css", include_str!("../static/style.css")),
    ("page.js", include_str!("../static/page.js")),
    ("index.js", include_str!("../static/index.js")),
    ("text.js", include_str!("../static/text.js")),
    ("chat.js", include_str!("../static/chat.js")),
    ("auction.js", include_str!("../static/auction.js")),
    ("compare.js", include_str!("../static/compare.js")),
    ("icon.svg", ICON),
    // Browsers ask for it where no page has named another one, such as at `/health`.
    ("favicon.ico", ICON),
];

const ICON: &str = include_str!("../static/icon.svg");

/// Nothing comes from elsewhere, and no script stands in a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_renders_and_is_small() {
        let pages = Pages::new();
        for (path, ..) in PAGES {
            let page = pages.render(path).unwrap();
            let scripts: usize = ASSETS
                .iter()
                .filter(|(name, _)| page.contains(&format!("\"/{name}\"")))
                .map(|(_, text)| text.len())
                .sum();
            assert!(page.contains("</html>") && scripts > 0, "{path}");
            assert!(page.len() + scripts < 30 << 10, "{path} has {} bytes", page.len() + scripts);
            assert!(!page.contains("http://") && !page.contains("https://"), "{path} asks elsewhere");
        }
        assert_eq!(pages.render("/other"), None);
    }
}
