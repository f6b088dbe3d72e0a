//! Who runs the company?
//!
//! The operator: it starts every service as a process of its own, sends users, watches what the services say of
//! themselves, stops one now and then if asked to, and ends everything in order.

mod bell;
mod dependency;
mod fleet;
mod folder;
pub(crate) mod histogram;
mod inject;
mod instance;
mod kill;
mod openmetrics;
mod registry;
mod scrape;
mod screen;
mod summary;
mod trace;
mod watch;

use std::{net::TcpListener, sync::Arc};

use platform_core::{Error, ErrorKind, Result, config::Config, lifecycle::Signal};
use tokio::task::JoinSet;

pub(crate) use self::instance::Manner;
use self::{
    bell::Bell,
    fleet::Fleet,
    folder::Folder,
    instance::Event,
    kill::Kills,
    registry::Registry,
    summary::{Followed, Summary},
    watch::Watch,
};
use crate::{company, flags::Flags, users::Users};

/// Runs a fleet from its first process to its last; the exit status.
///
/// # Errors
/// [`ErrorKind::Start`] when it cannot be started. Nothing is left behind.
pub(crate) async fn run(flags: &Flags) -> Result<u8> {
    check_port(flags.port)?;
    let folder = Arc::new(Folder::create(flags.keep)?);
    let mut bell = Bell::listen(&folder)?;
    let registry = tokio::select! {
        started = Registry::start(flags.registry, &folder) => Arc::new(started?),
        () = bell.rung() => return Ok(0),
    };
    let mut fleet = Fleet::new(Arc::clone(&folder), Arc::clone(&registry))?;
    let posts = company::posts(flags.port);
    fleet
        .screen
        .say(&format!("A film company of {} processes on this machine; Ctrl-C ends it.", posts.len()));

    let started = tokio::select! {
        started = fleet.start(posts) => Some(started),
        () = bell.rung() => None,
    };
    let ran = match started {
        Some(Ok(())) => serve_users(flags, &registry, &mut fleet, &mut bell).await.map(Some),
        Some(Err(error)) => Err(error),
        // A person who changes his mind while it starts has failed nobody.
        None => Ok(None),
    };
    fleet.screen.settle(ran.is_ok());
    // By hand, as it were: no users are left who would have to notice.
    fleet.stop(Signal::Interrupt).await;
    registry.stop().await;
    let Some(mut summary) = ran? else { return Ok(0) };
    // Only now has everything been read that an instance served while it drained.
    summary.services = fleet.ledger.totals();
    summary.unclean = std::mem::take(&mut fleet.unclean);
    summary.deaths = fleet.deaths;
    summary.followed = follow(&fleet, &summary);
    fleet.screen.say(&summary.text());
    if flags.keep {
        fleet.screen.say(&format!("\nLogs and registry stay in {}", folder.path().display()));
    }
    Ok(summary.exit_code())
}

/// Users come, and instances go if that was asked for, until the time is over or somebody rings.
async fn serve_users(
    flags: &Flags,
    registry: &Arc<Registry>,
    fleet: &mut Fleet,
    bell: &mut Bell,
) -> Result<Summary> {
    let settings = registry.settings().into_iter();
    let config = settings
        .fold(Config::builder(), |config, (key, value)| config.set(key, value))
        // What users meet with is on the screen and in the summary.
        .set("telemetry.log.filter", "off")
        .load()?;
    let users = Users::new(config).await?;
    let followers = users.followers()?;
    fleet.welcome();

    let (mut arriving, mut killing) = (JoinSet::new(), JoinSet::new());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    arriving.spawn(followers.clone().listen(stopped.clone()));
    arriving.spawn(users.clone().arrive(flags.rps, stopped));
    let kills = flags.kill_every.map(|every| {
        let kills = Kills::default();
        killing.spawn(kills.clone().go_round(fleet.instances.clone(), every, flags.kill_with));
        kills
    });
    let mut faults = inject::bring(&flags.faults, &fleet.instances, &fleet.teller());
    let mut outage = JoinSet::new();
    if let Some(asked) = flags.outage {
        let (registry, tell) = (Arc::clone(registry), fleet.teller());
        outage.spawn(async move {
            // Nobody listens any more only when the fleet ends.
            registry.go_away(asked, |line| drop(tell.send(Event::Fault(line)))).await;
        });
    }
    let mut watch = Watch::new(flags, users.clone(), followers.clone(), kills.clone());
    tokio::select! {
        () = watch.until_the_end(fleet) => {}
        () = bell.rung() => {}
    }
    let lasted = watch.lasted();
    killing.shutdown().await;
    faults.shutdown().await;
    outage.shutdown().await;
    let heard = followers.heard();
    stop.send_replace(true);
    while arriving.join_next().await.is_some() {}
    fleet.read().await;

    let summary = Summary {
        users: users.tally(),
        heard,
        lasted,
        longest_away: kills.as_ref().and_then(Kills::longest),
        kills: kills.as_ref().map(Kills::victims),
        kill_with: flags.kill_with,
        outage: flags.outage,
        faults: flags.faults.clone(),
        ..Summary::default()
    };
    drop(followers);
    users.finish().await?;
    Ok(summary)
}

/// The first request that failed; else the last home page that all its services have told of.
fn follow(fleet: &Fleet, summary: &Summary) -> Option<Followed> {
    let instances: Vec<String> =
        fleet.instances.iter().map(|instance| instance.post.instance.clone()).collect();
    let ids = summary.users.first_failed.iter().chain(summary.users.good.iter().rev());
    ids.map(String::as_str).find_map(|id| {
        let (trace_id, lines) = trace::of_request(&fleet.folder, &instances, id)?;
        Some(Followed { request_id: id.to_owned(), trace_id, lines })
    })
}

/// Asks for the port before anything is started, so that the answer is short.
fn check_port(port: Option<u16>) -> Result<()> {
    let Some(port) = port else { return Ok(()) };
    TcpListener::bind(("127.0.0.1", port)).map(drop).map_err(|error| {
        let what = format!(
            "port {port} cannot be taken ({error}); choose another, or leave --port out to take a free one"
        );
        Error::new(ErrorKind::Start, what)
    })
}
