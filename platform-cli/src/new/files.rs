//! Which files is a service made of?

use std::{path::Path, time::Duration};

use platform_core::lifecycle;

use super::{
    names::Names,
    plan::{Asked, Plan},
    render::{Values, render},
};
use crate::{catalogue, ops};

/// A file to write: where, and what.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

/// Every file of the service, which will lie in `folder`; `own_workspace` where it lies inside another one's.
///
/// # Errors
/// A template that makes no sense: a test renders them all.
pub(super) fn files(plan: &Plan, folder: &Path, own_workspace: bool) -> Result<Vec<File>, String> {
    let values = values(plan, folder, own_workspace);
    let (http, grpc) = (plan.serves.http(), plan.serves.grpc());
    let proto = speaks_grpc(plan);
    let mut made = Vec::new();
    let mut add = |path: &str, template: &str, values: &Values| {
        let text = render(template, values).map_err(|why| format!("the template of {path}: {why}"))?;
        made.push(File { path: path.to_owned(), text });
        Ok::<(), String>(())
    };
    for (path, template, needed) in [
        ("Cargo.toml", include_str!("template/Cargo.toml.txt"), true),
        (".gitignore", include_str!("template/gitignore.txt"), true),
        (".dockerignore", include_str!("template/dockerignore.txt"), true),
        (".github/workflows/ci.yml", include_str!("template/ci.yml.txt"), true),
        ("Dockerfile", include_str!("template/Dockerfile.txt"), true),
        ("README.md", include_str!("template/README.md.txt"), true),
        ("RUNBOOK.md", include_str!("template/RUNBOOK.md.txt"), plan.runbook == RUNBOOK),
        (SETTINGS, include_str!("template/platform.toml.txt"), true),
        ("deploy/kubernetes.yaml", include_str!("template/deploy/kubernetes.yaml.txt"), true),
        ("build.rs", include_str!("template/build.rs.txt"), proto),
        ("src/main.rs", include_str!("template/src/main.rs.txt"), true),
        ("src/lib.rs", include_str!("template/src/lib.rs.txt"), true),
        ("src/items.rs", include_str!("template/src/items.rs.txt"), true),
        ("src/settings.rs", include_str!("template/src/settings.rs.txt"), true),
        ("src/http.rs", include_str!("template/src/http.rs.txt"), http),
        ("src/grpc.rs", include_str!("template/src/grpc.rs.txt"), grpc),
        ("src/proto.rs", include_str!("template/src/proto.rs.txt"), proto),
        ("src/clients/mod.rs", include_str!("template/src/clients/mod.rs.txt"), !plan.asks.is_empty()),
        ("tests/service/main.rs", include_str!("template/tests/main.rs.txt"), true),
        ("tests/service/ground.rs", include_str!("template/tests/ground.rs.txt"), true),
        ("tests/service/http.rs", include_str!("template/tests/http.rs.txt"), http),
        ("tests/service/grpc.rs", include_str!("template/tests/grpc.rs.txt"), grpc),
    ] {
        if needed {
            add(path, template, &values)?;
        }
    }
    if grpc {
        let own = spelled(&plan.names).flag("foreign", false).within(&values);
        add(&format!("proto/{}.proto", plan.names.name), include_str!("template/proto.txt"), &own)?;
    }
    for asked in &plan.asks {
        let values = spelled(&asked.names).flag("foreign", true).within(&values);
        let field = &asked.names.snake;
        let (client, peer) = if asked.grpc {
            let path = format!("proto/{}.proto", asked.names.name);
            add(&path, include_str!("template/proto.txt"), &values)?;
            (
                include_str!("template/src/clients/grpc.rs.txt"),
                include_str!("template/tests/peer_grpc.rs.txt"),
            )
        } else {
            (
                include_str!("template/src/clients/http.rs.txt"),
                include_str!("template/tests/peer_http.rs.txt"),
            )
        };
        add(&format!("src/clients/{field}.rs"), client, &values)?;
        add(&format!("tests/service/{field}.rs"), peer, &values)?;
    }
    // Made from the settings by what makes it again, so that it is as new until they change.
    let settings = made.iter().find(|file| file.path == SETTINGS).map(|file| file.text.as_str());
    let on_call = ops::of_new(settings.unwrap_or_default(), &catalogue::everything())
        .map_err(|error| format!("the template of {SETTINGS}: {}", error.detail()))?;
    made.extend(on_call.into_iter().map(|(path, text)| File { path: path.display().to_string(), text }));
    Ok(made)
}

fn values(plan: &Plan, folder: &Path, own_workspace: bool) -> Values {
    let Plan { names, serves, asks, owner, reports_to, why, runbook, source } = plan;
    let clients = asks.iter().enumerate().map(|(index, asked)| client(index, asked)).collect();
    let mut protos: Vec<Values> = serves.grpc().then(|| spelled(names)).into_iter().collect();
    protos.extend(asks.iter().filter(|asked| asked.grpc).map(|asked| spelled(&asked.names)));
    let lifecycle = lifecycle::Config::default();
    let stop = lifecycle.propagation + lifecycle.grace + lifecycle.flush;
    let quoted: Vec<String> = asks.iter().map(|asked| format!("\"{}\"", asked.names.name)).collect();
    let path = source.path_from(folder);
    spelled(names)
        .text("name", &names.name)
        .text("krate", &names.snake)
        .text("owner", owner)
        .text("parent", reports_to)
        .flag("parent", !reports_to.is_empty())
        .text("why", why)
        .text("why_toml", why.replace('\\', "\\\\").replace('"', "\\\""))
        .text("runbook", runbook)
        .text("core_from", source.dependency("platform-core", folder))
        .text("http_from", source.dependency("platform-http", folder))
        .text("grpc_from", source.dependency("platform-grpc", folder))
        .text("program_from", source.program(folder))
        .text("build_from", source.dependency("platform-grpc/build", folder))
        .flag("platform_path", path.is_some())
        .text("platform_path", path.unwrap_or_default())
        .text("stop_seconds", stop.as_secs().to_string())
        .text("grace_seconds", (stop + SPARE).as_secs().to_string())
        .text("asked", quoted.join(", "))
        .text("count", asks.len().to_string())
        .text("first", asks.first().map(|asked| asked.names.name.as_str()).unwrap_or_default())
        .text("unavailable", if serves.http() { "503" } else { "UNAVAILABLE" })
        .flag("http", serves.http())
        .flag("grpc", serves.grpc())
        .flag("proto", speaks_grpc(plan))
        .flag("clients", !asks.is_empty())
        .flag("test_axum", !serves.http() && asks.iter().any(|asked| !asked.grpc))
        .flag("own_workspace", own_workspace)
        .list("clients_list", clients)
        .list("protos", protos)
}

fn client(index: usize, asked: &Asked) -> Values {
    spelled(&asked.names)
        .text("index", index.to_string())
        .text("protocol", if asked.grpc { "gRPC" } else { "HTTP" })
}

fn spelled(names: &Names) -> Values {
    Values::default()
        .text("peer", &names.name)
        .text("proto_name", &names.name)
        .text("field", &names.snake)
        .text("package", &names.snake)
        .text("service", &names.pascal)
        .text("module", &names.module)
}

fn speaks_grpc(plan: &Plan) -> bool {
    plan.serves.grpc() || plan.asks.iter().any(|asked| asked.grpc)
}

/// Where the runbook lies if nobody says.
pub(super) const RUNBOOK: &str = "RUNBOOK.md";
const SETTINGS: &str = "platform.toml";
/// Between the last flush and the moment when Kubernetes kills.
const SPARE: Duration = Duration::from_secs(2);
