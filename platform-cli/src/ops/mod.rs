//! What does the person on call get, as files?
//!
//! Everything is rendered by `platform_core::ops`; here services are read and files are written.

mod asked;
mod binary;
pub(crate) mod command;
mod company;
mod files;
mod listener;

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use platform_core::{
    Error, Result,
    config::Name,
    ops::{self, Operated, Places, Rendered, Teams, Tree},
    telemetry::catalogue::Catalogue,
};

use self::{
    asked::{Asked, Kind, Source},
    files::{Files, Seen},
};

/// `platform ops …`, without these two words.
///
/// # Errors
/// What cannot be read, rendered or written; [`Usage`](platform_core::ErrorKind::Usage) for a wrong use.
pub(crate) fn run(arguments: &[&str], catalogue: &Catalogue) -> Result<Seen> {
    let asked = Asked::parse(arguments)?;
    let (services, teams) = read(&asked)?;
    let tree = Tree::of(&services, &teams)?;
    let mut files = Files::new(asked.folder());
    let notes = render(asked.kind, &services, &tree, &asked.places, catalogue, &mut files)?;
    // Part of a company says nothing about the files of the others.
    let whole = match asked.kind {
        Kind::Boards => asked.sources.is_empty(),
        _ => matches!(asked.sources[..], [Source::Folder(_)]),
    };
    let mut seen = if asked.check { files.check(whole)? } else { files.write(whole)? };
    seen.notes.extend(notes);
    Ok(seen)
}

/// What the folder of a service that is about to be made gets: what its README's `platform ops …` would write there, by
/// the path within the folder. `settings` is the text of its `platform.toml`.
///
/// # Errors
/// Settings that no service could start with, or that no alert could be made of.
pub(crate) fn of_new(settings: &str, catalogue: &Catalogue) -> Result<Vec<(PathBuf, String)>> {
    let services = [company::not_there_yet(settings)?];
    let tree = Tree::of(&services, &Teams::new())?;
    let mut texts = Vec::new();
    for (kind, folder) in [(Kind::Boards, "ops/boards"), (Kind::Rules, "ops"), (Kind::Catalog, "ops")] {
        let mut files = Files::new(PathBuf::from(folder));
        render(kind, &services, &tree, &Places::default(), catalogue, &mut files)?;
        texts.extend(files.into_texts());
    }
    Ok(texts)
}

/// Adds to `files` what is made; what a person should know besides.
fn render(
    kind: Kind,
    services: &[Operated],
    tree: &Tree,
    places: &Places,
    catalogue: &Catalogue,
    files: &mut Files,
) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    match kind {
        Kind::Boards => {
            files.add("", ops::boards(catalogue));
            let own: Vec<Rendered> = services.iter().filter_map(|one| one.own.board.clone()).collect();
            // In a folder of their own, which is looked at only where somebody names them.
            if !own.is_empty() {
                files.add("own", own);
            }
        }
        Kind::Rules => {
            let mut all = Vec::new();
            for service in services {
                let rules = ops::alerts(service, catalogue, tree, places)?;
                let name = &service.identity.name;
                notes.extend(rules.notes().iter().map(|note| format!("{name}: {note}")));
                all.push(Rendered { name: format!("{name}.yaml"), text: rules.yaml() });
            }
            files.add("rules", all);
            files.add_once("runbooks", runbooks(services, catalogue)?);
        }
        Kind::Alertmanager => {
            notes.extend(tree.notes());
            files.add("", vec![Rendered { name: "alertmanager.yaml".to_owned(), text: tree.alertmanager() }]);
        }
        Kind::Catalog => {
            let entries = services.iter().map(|service| Rendered {
                name: format!("{}.yaml", service.identity.name),
                text: ops::entry(service, places),
            });
            let teams = Rendered { name: "teams.yaml".to_owned(), text: ops::company_entry(tree) };
            files.add("catalog", entries.chain([teams]).collect());
        }
    }
    Ok(notes)
}

/// Those of all services, and those of each one's own.
fn runbooks(services: &[Operated], catalogue: &Catalogue) -> Result<Vec<Rendered>> {
    let mut pages = ops::runbooks(catalogue);
    let mut whose = BTreeMap::new();
    for service in services {
        let name = service.identity.name.as_str();
        for page in &service.own.runbooks {
            if let Some(other) = whose.insert(page.name.as_str(), name) {
                return Err(Error::config(format!(
                    "{other} and {name} both have an alert of their own whose runbook is {}, and all runbooks lie in one \
                     folder; call one of them something else",
                    page.name
                )));
            }
            pages.push(page.clone());
        }
    }
    Ok(pages)
}

/// What a program says of itself becomes names of files, which lead nowhere but into the folder.
fn writes_here(service: &Operated) -> Result<()> {
    let Operated { identity, own, .. } = service;
    let refused =
        |what: &str| Error::config(format!("a service that calls itself {:?} {what}", identity.name));
    Name::parse(&identity.name).map_err(|why| refused(&format!("has no name: {why}")))?;
    for Rendered { name, .. } in own.board.iter().chain(&own.runbooks) {
        let mut steps = Path::new(name).components();
        if !matches!((steps.next(), steps.next()), (Some(Component::Normal(_)), None)) {
            return Err(refused(&format!("has a page {name:?}, which is no name of a file")));
        }
    }
    Ok(())
}

fn read(asked: &Asked) -> Result<(Vec<Operated>, Teams)> {
    let (mut services, mut filed): (Vec<Operated>, Vec<Operated>) = Default::default();
    let mut teams = Teams::new();
    for source in &asked.sources {
        match source {
            Source::Folder(folder) => {
                let company = company::read(folder, asked.profile.as_deref())?;
                teams.extend(company.teams);
                filed.extend(company.services);
            }
            Source::Binary(command) => services.push(binary::read(command)?),
            Source::Url(url) => services.push(listener::read(url, asked)?),
        }
    }
    services.iter().try_for_each(writes_here)?;
    // Whoever says it itself knows more than its file.
    filed.retain(|file| services.iter().all(|one| one.identity.name != file.identity.name));
    services.extend(filed);
    services.sort_by(|a, b| a.identity.name.cmp(&b.identity.name));
    let twice = services.windows(2).find(|pair| pair[0].identity.name == pair[1].identity.name);
    if let Some([one, _]) = twice {
        return Err(Error::config(format!("two services are named {}", one.identity.name)));
    }
    Ok((services, teams))
}
