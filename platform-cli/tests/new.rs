//! From an empty folder to services that call each other: what the README promises a newcomer.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "what helps a test may panic: the test fails")]

mod ground;
mod judges;
mod process;

use std::{collections::BTreeMap, env, fs, path::Path, process::Command};

use ground::platform_in;
use judges::{judged, ran};
use process::{Service, get};
use serde_json::Value;

/// What is made: all three shapes, with dependencies of both kinds, and in a chain.
const SHOP: [&[&str]; 3] = [
    &[
        "new",
        "orders",
        "--http",
        "--depends-on",
        "payments:grpc",
        "--owner",
        "team-shop",
        "--reports-to",
        "commerce",
        "--why",
        "sells \"it\".",
    ],
    &["new", "payments", "--grpc", "--depends-on", "inventory"],
    &["new", "film-stock", "--both", "--depends-on", "inventory,payments:grpc"],
];
const LEAF: &[&str] = &["new", "inventory", "--both"];

#[test]
fn services_are_made_built_tested_and_call_each_other() {
    // The same place each time, so that what is built there is built over and does not pile up.
    let shop = &Path::new(env!("CARGO_TARGET_TMPDIR")).join("shop");
    let _ = fs::remove_dir_all(shop);
    fs::create_dir_all(shop).unwrap();
    workspace(shop);
    for arguments in SHOP.iter().chain([&LEAF]) {
        let out = platform_in(shop, arguments);
        assert!(out.status.success(), "{arguments:?}: {}", text(&out.stderr));
    }
    let check = platform_in(shop, &["check"]);
    assert_eq!(text(&check.stdout), "4 files: fine\n");
    let targets = build(shop);
    let on_call = platform_in(shop, &["ops", "rules", "."]);
    assert!(on_call.status.success(), "all of them together: {}", text(&on_call.stderr));

    // What is made is formatted where there is somebody who can; a small installation of Rust has nobody.
    let formats = matches!(ran(shop, "rustfmt", &["--version"]), Some((Some(0), _)));
    if !formats {
        eprintln!("skipped: without rustfmt nothing is formatted");
    }

    // Each passes its own tests, is formatted, and has a configuration that it takes itself.
    for name in NAMES {
        let folder = shop.join(name);
        if formats {
            let formatted = cargo(&folder).args(["fmt", "--check"]).output().unwrap();
            assert!(formatted.status.success(), "{name}: {}", text(&formatted.stdout));
        }
        let test = Command::new(&targets[&format!("{name}/service")]).output().unwrap();
        assert!(test.status.success(), "{name}: {}{}", text(&test.stdout), text(&test.stderr));
        let check = Command::new(&targets[name]).arg("--check").current_dir(&folder).output().unwrap();
        assert!(check.status.success(), "{name}: {}", text(&check.stderr));
        the_person_on_call_has_what_its_readme_says(&folder, &targets[name]);
    }

    // The three of a chain find each other by name.
    let registry = shop.join("registry");
    let start = |name: &str| Service::start(&targets[name], &shop.join(name), &registry);
    let (inventory, payments, orders) = (start("inventory"), start("payments"), start("orders"));
    payments.finds("inventory");
    orders.finds("payments");
    let (status, _, item) = get(&orders.http, "/orders/7");
    assert_eq!(status, 200, "{item}");
    let item: Value = serde_json::from_str(&item).unwrap();
    assert_eq!(item["from"], "orders");
    assert_eq!(item["asked"], serde_json::json!(["payments", "inventory"]));

    // One more, whose trace is known: each of the three tells it once, and all under the same one.
    let (status, head, _) = get(&orders.http, "/orders/8");
    assert_eq!(status, 200);
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).expect("every reply has one");
    for service in [&orders, &payments, &inventory] {
        let line = service.line(|line| line["message"] == "request" && line["trace_id"] == id);
        assert_eq!(line["request_id"], id, "{line}");
        assert_eq!(line["outcome"], "ok", "{line}");
    }

    // Whoever asks goes first, so that nobody asks in vain.
    for service in [orders, payments, inventory] {
        service.drain();
    }
}

#[test]
fn nothing_is_overwritten_and_what_makes_no_sense_writes_nothing() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("orders")).unwrap();
    for (arguments, told) in [
        (&["new", "orders"][..], "nothing is overwritten"),
        (&["new"], "the name of the service is missing"),
        (&["new", "Orders"], "did you mean `orders`?"),
        (&["new", "a", "b"], "one word too many"),
        (&["new", "stock", "--http", "--grpc"], "say one of them"),
        (&["new", "stock", "--depends-on", "stock"], "depend on itself"),
        (&["new", "stock", "--owner", "Team A"], "did you mean `team-a`?"),
        (&["new", "stock", "--reports-to", "team-stock"], "team-stock would report to itself"),
        (&["new", "stock", "--why", "a\nb"], "one line"),
        (&["new", "stock", "--runbook", "a b"], "say an address"),
        (&["new", "stock", "--platform", "path=/nowhere"], "is no checkout"),
        (&["new", "stock", "--plattform", "git"], "is no flag of it"),
    ] {
        let out = platform_in(place.path(), arguments);
        assert_eq!(out.status.code(), Some(2), "{arguments:?}");
        assert!(text(&out.stderr).contains(told), "{arguments:?}: {}", text(&out.stderr));
    }
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(left, ["orders"]);
}

/// A terminal is made by Python, whose standard library knows how.
const TERMINAL: &str = r#"
import os, pty, sys
answers = sys.argv[1].split("|")
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
said, waiting = b"", b""
try:
    while True:
        some = os.read(terminal, 4096)
        if not some:
            break
        said, waiting = said + some, waiting + some
        if waiting.endswith(b": ") and answers:
            waiting = b""
            answer = answers.pop(0)
            os.write(terminal, b"\x04" if answer == "^D" else answer.encode() + b"\n")
except OSError:
    pass
sys.stdout.write(said.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// What is said at a terminal where these answers are given, and the status; `None` without a Python.
fn at_a_terminal(folder: &Path, answers: &str, arguments: &[&str]) -> Option<(Option<i32>, String)> {
    let python = env::var_os("PLATFORM_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let program = ["-c", TERMINAL, answers, env!("CARGO_BIN_EXE_platform")];
    ran(folder, python, &[&program, arguments].concat())
}

#[test]
fn at_a_terminal_it_asks_what_was_not_said_and_again_what_makes_no_sense() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("taken"), "somebody's").unwrap();
    std::os::unix::fs::symlink("nowhere", place.path().join("link")).unwrap();
    let answers =
        "Orders|taken|link|orders|soap|both|orders|inventory,payments:grpc|Team A||team-orders|commerce|";
    let Some((status, said)) = at_a_terminal(place.path(), answers, &["new"]) else { return };
    assert_eq!(status, Some(0), "{said}");
    let mut rest = said.as_str();
    for part in [
        "The service's name: ",
        "did you mean `orders`?",
        "taken is there already, and nothing is overwritten",
        "link is there already",
        "It serves (http, grpc, both) [http]: ",
        "\"soap\": say http, grpc or both",
        "It depends on",
        "orders would depend on itself",
        "Who is called at night [team-orders]: ",
        "did you mean `team-a`?",
        "Who is called when nobody came",
        "team-orders would report to itself",
        "Why it runs [answers for orders.]: ",
        "cd orders",
        "Until inventory and payments run too, requests are refused",
    ] {
        let at =
            rest.find(part).unwrap_or_else(|| panic!("{part:?} is missing, or not in its order: {said}"));
        rest = &rest[at + part.len()..];
    }
    assert_eq!(fs::read_to_string(place.path().join("taken")).unwrap(), "somebody's");
    assert!(place.path().join("link").symlink_metadata().unwrap().is_symlink());
    let settings = fs::read_to_string(place.path().join("orders/platform.toml")).unwrap();
    for part in
        ["owner = \"team-orders\"", "reports_to = \"commerce\"", "[clients.inventory]", "[clients.payments]"]
    {
        assert!(settings.contains(part), "{part} in {settings}");
    }
    assert!(place.path().join("orders/proto/orders.proto").is_file(), "both");

    // What flags say is not asked; and whoever leaves leaves nothing behind.
    let flags = ["new", "stock", "--http", "--depends-on", "", "--owner", "team-a", "--why", "counts"];
    let (status, said) = at_a_terminal(place.path(), "", &flags).unwrap();
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("Who is called when nobody came") && !said.contains("It serves"), "{said}");
    let (status, said) = at_a_terminal(place.path(), "depot|^D", &["new"]).unwrap();
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("nobody answers; the flags say it too"), "{said}");
    assert!(!place.path().join("depot").exists());
}

#[test]
fn a_service_of_a_repository_or_a_registry_names_it() {
    let place = tempfile::tempdir().unwrap();
    let from = |name: &str, source: &str| {
        let out = platform_in(place.path(), &["new", name, "--platform", source]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        let read = |file: &str| fs::read_to_string(place.path().join(name).join(file)).unwrap();
        assert!(!read("Dockerfile").contains("build-context"), "nothing is needed beside it");
        (read("Cargo.toml"), read(".github/workflows/ci.yml"))
    };
    let (manifest, ci) = from("orders", "git=https://git.example/platform.git#v0.1.0");
    let line = "platform-http = { git = \"https://git.example/platform.git\", tag = \"v0.1.0\" }";
    assert!(manifest.contains(line), "{manifest}");
    let line =
        "cargo install --locked --git \"https://git.example/platform.git\" --tag \"v0.1.0\" platform-cli\n";
    assert!(ci.contains(line), "{ci}");
    let (manifest, ci) = from("payments", "registry=0.1");
    assert!(manifest.contains("platform-core = { version = \"0.1\" }"), "{manifest}");
    assert!(ci.contains("cargo install --locked platform-cli --version \"^0.1\"\n"), "{ci}");
}

/// As docker would: what the Dockerfile copies is all that cargo needs, and its lock file is of this service.
#[test]
fn the_image_has_what_the_build_needs_and_its_lock_is_true() {
    let place = tempfile::tempdir().unwrap();
    let out = platform_in(place.path(), &["new", "orders", "--both", "--depends-on", "payments:grpc"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let (service, image) = (place.path().join("orders"), place.path().join("image"));
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let work = image.join("build/orders");
    fs::create_dir_all(&work).unwrap();
    let dockerfile = fs::read_to_string(service.join("Dockerfile")).unwrap();
    let mut copied = 0;
    for line in dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let words: Vec<&str> = line.split(' ').collect();
        let inside = |to: &str| {
            let to = Path::new(to);
            to.strip_prefix("/").map_or_else(|_| work.join(to), |to| image.join(to))
        };
        match words.as_slice() {
            ["--from=platform", from, to] => {
                let name = Path::new(from).file_name().unwrap();
                let to = if to.ends_with('/') { inside(to).join(name) } else { inside(to) };
                copy(&checkout.join(from), &to);
            }
            [".", "."] => copy(&service, &work),
            // Of the second image.
            ["--from=build", ..] | ["platform.toml", _] => continue,
            other => panic!("{other:?} is copied in a way that this test does not know"),
        }
        copied += 1;
    }
    assert!(copied > 5, "{dockerfile}");
    // An absolute path leads out of this image.
    let manifest = fs::read_to_string(work.join("Cargo.toml")).unwrap();
    let manifest = manifest.replace("path = \"/", &format!("path = \"{}/", image.display()));
    fs::write(work.join("Cargo.toml"), manifest).unwrap();
    let tree = cargo(&work).args(["tree", "--locked", "--offline", "--quiet"]).output().unwrap();
    assert!(tree.status.success(), "{}", text(&tree.stderr));
    assert!(text(&tree.stdout).contains("platform-grpc v"), "{}", text(&tree.stdout));
}

/// Sources and what lies beside them; what was built stays where it is.
fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
        return;
    }
    for entry in fs::read_dir(from).unwrap().flatten() {
        if !["target", ".git"].contains(&entry.file_name().to_str().unwrap()) {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    }
}

/// Programs of others: a schema of Kubernetes' own, and a linter of Dockerfiles (`.ci/python.txt`).
#[test]
fn a_cluster_takes_the_manifest_and_a_linter_the_dockerfile() {
    let place = tempfile::tempdir().unwrap();
    let shapes: [&[&str]; 3] = [
        &["new", "orders", "--depends-on", "payments:grpc", "--reports-to", "commerce"],
        &["new", "payments", "--grpc", "--why", "takes \"money\": all of it."],
        &["new", "film-stock", "--both", "--platform", "git=https://git.example/platform.git#v0.1.0"],
    ];
    for shape in shapes {
        let out = platform_in(place.path(), shape);
        assert!(out.status.success(), "{shape:?}: {}", text(&out.stderr));
        let folder = place.path().join(shape[1]);
        // Of another's folder (`--build-context`) the linter knows nothing.
        judged(&folder, "hadolint", &["--ignore", "DL3022", "Dockerfile"]);
        judged(&folder, "kubernetes-validate", &["--strict", "deploy/kubernetes.yaml"]);

        let manifest = fs::read_to_string(folder.join("deploy/kubernetes.yaml")).unwrap();
        for part in [
            "path: /startupz, port: admin",
            "path: /livez, port: admin",
            "path: /readyz, port: admin",
            "runAsNonRoot: true",
        ] {
            assert!(manifest.contains(part), "{part} in {manifest}");
        }
    }
}

/// The commands of its README find nothing to do until what is promised changes, and its program promises the same.
fn the_person_on_call_has_what_its_readme_says(folder: &Path, program: &str) {
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    let (readme, ci, name) =
        (read("README.md"), read(".github/workflows/ci.yml"), folder.file_name().unwrap());
    let name = name.to_str().unwrap();
    let binary = format!("target/debug/{name}");
    for command in [
        format!("ops rules . --from {binary}"),
        "ops catalog .".to_owned(),
        format!("ops boards --from {binary} --out ops/boards"),
    ] {
        assert!(readme.contains(&format!("platform {command}\n")), "{readme}");
        assert!(ci.contains(&format!("- run: platform {command} --check\n")), "{ci}");
        // Here it was built elsewhere.
        let words = command.split(' ').map(|word| if word == binary { program } else { word });
        let words: Vec<&str> = words.chain(["--check"]).collect();
        let check = platform_in(folder, &words);
        assert!(check.status.success(), "{name}: {command}: {}{}", text(&check.stdout), text(&check.stderr));
    }
    // Its file alone promises the same, as long as it shows nothing of its own.
    let filed = platform_in(folder, &["ops", "rules", ".", "--check"]);
    assert!(filed.status.success(), "{name}: {}{}", text(&filed.stdout), text(&filed.stderr));
    let rules = read(&format!("ops/rules/{name}.yaml"));
    for promise in ["slo: availability", "slo: latency", "alert: CertificateEnds", "runbook: runbooks/"] {
        assert!(rules.contains(promise), "{promise} in {rules}");
    }
    assert!(folder.join("ops/runbooks/certificate-ends.md").is_file());
    assert_eq!(rules.contains("team: commerce"), name == "orders", "only orders has said who comes next");

    let settings = read("platform.toml");
    fs::write(
        folder.join("platform.toml"),
        settings.replace("availability = 0.999 ", "availability = 0.995 "),
    )
    .unwrap();
    let check = platform_in(folder, &["ops", "rules", ".", "--check"]);
    assert_eq!(text(&check.stdout), format!("different ops/rules/{name}.yaml\n"));
    fs::write(folder.join("platform.toml"), settings).unwrap();
}

/// One workspace with the profile and the lock file of this one, so that what is built already is used.
fn workspace(shop: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let own = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let profile = &own[own.find("[profile.dev]").unwrap()..own.find("[profile.release]").unwrap()];
    let members = NAMES.map(|name| format!("{name:?}")).join(", ");
    let manifest = format!("[workspace]\nresolver = \"3\"\nmembers = [{members}]\n\n{profile}");
    fs::write(shop.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root.join("Cargo.lock"), shop.join("Cargo.lock")).unwrap();
}

/// Builds all services. What was built, by name.
fn build(shop: &Path) -> BTreeMap<String, String> {
    let built = cargo(shop)
        .args(["build", "--offline", "--bins", "--test=service", "--message-format=json"])
        .output()
        .unwrap();
    let told = text(&built.stderr);
    assert!(built.status.success(), "{told}");
    let mut targets = BTreeMap::new();
    for message in text(&built.stdout).lines() {
        let message: Value = serde_json::from_str(message).unwrap();
        let ours =
            message["manifest_path"].as_str().is_some_and(|path| path.contains(shop.to_str().unwrap()));
        // A warning is none that a newcomer should see.
        if ours && message["reason"] == "compiler-message" {
            panic!("{}", message["message"]["rendered"]);
        }
        let (Some(executable), true) = (message["executable"].as_str(), ours) else { continue };
        let package = message["manifest_path"].as_str().unwrap();
        let package = Path::new(package).parent().unwrap().file_name().unwrap().to_str().unwrap();
        let (kind, name) = (&message["target"]["kind"][0], message["target"]["name"].as_str().unwrap());
        match (kind.as_str().unwrap(), message["profile"]["test"].as_bool().unwrap()) {
            ("bin", false) => drop(targets.insert(package.to_owned(), executable.to_owned())),
            ("test", true) => drop(targets.insert(format!("{package}/{name}"), executable.to_owned())),
            _ => {}
        }
    }
    targets
}

fn cargo(folder: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(folder).env("CARGO_TARGET_DIR", process::target_folder());
    cargo
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const NAMES: [&str; 4] = ["orders", "payments", "film-stock", "inventory"];
