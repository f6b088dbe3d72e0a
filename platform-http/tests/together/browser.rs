//! The live page in a real browser: what a person sees and clicks when all is well, when a dependency fails, when
//! something fails on purpose, and when the process that it looks at is replaced.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use platform_core::context;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::town::{House, Town};

/// A person with a browser, driven by a script in Python.
struct Person {
    script: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Person {
    /// Nobody, where there is no browser to have.
    fn sits_down() -> Option<Person> {
        let python = env::var("PLATFORM_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let has_playwright = Command::new(&python)
            .args(["-c", "import playwright.sync_api"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
        let chromium = chromium.into_iter().find(|path| Path::new(path).exists());
        let (true, Some(chromium)) = (has_playwright, chromium) else {
            let required = env::var_os("PLATFORM_REQUIRE_OUTSIDE").is_some_and(|value| value == "1");
            assert!(!required, "playwright (a package of {python}) or chromium is missing");
            eprintln!("skipped: playwright (a package of {python}) or chromium is missing");
            return None;
        };
        let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("live-page");
        std::fs::create_dir_all(&shots).expect("a folder for pictures");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/together/browser.py");
        let mut script = Command::new(python)
            .arg(script)
            .arg(chromium)
            .arg(shots)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it ran a moment ago");
        let stdin = script.stdin.take().expect("it is piped");
        let stdout = BufReader::new(script.stdout.take().expect("it is piped"));
        let mut person = Person { script, stdin, stdout };
        assert_eq!(person.answer(), "ok");
        Some(person)
    }

    /// Does one step, and fails if it fails.
    #[track_caller]
    fn does(&mut self, step: &Value) {
        // The services are on other threads.
        tokio::task::block_in_place(|| {
            writeln!(self.stdin, "{step}").expect("the script reads");
            assert_eq!(self.answer(), "ok", "{step}");
        });
    }

    #[track_caller]
    fn sees(&mut self, place: &str, text: &str) {
        self.does(&json!({ "do": "see", "where": place, "text": text }));
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("the script answers");
        line.trim_end().to_owned()
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // Without an input it would end by itself, if it were not in the middle of something.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// Callers of the edge, until they are aborted.
fn traffic(edge: &House) -> JoinHandle<()> {
    let address = edge.address;
    context::spawn(async move {
        loop {
            let _ = crate::town::try_ask(address, "/films/1").await;
            tokio::time::sleep(std::time::Duration::from_millis(15)).await;
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_finds_what_hurts_and_acts_on_it() {
    let Some(mut person) = Person::sits_down() else { return };
    let town = Town::new();
    let catalog = town.catalog("catalog-1", "[service]\nzone = \"a\"").await;
    let tokens = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(tokens.path(), "bob:s3cret-of-bob\n").expect("it is written");
    let toml = "[service]\nowner = \"team-edge\"\nwhy = \"<img src=x onerror=alert(1)>\"\n\
                runbook = \"javascript:alert(2)\"\n\
                [slo]\navailability = 0.999\nlatency = { bound = \"250ms\", share = 0.99 }\n[clients.catalog.policy]\nrecovery = \"none\"";
    let toml = format!("admin.token_file = {:?}\n{toml}", tokens.path().to_str().expect("it is text"));
    let edge = town.edge(&toml).await;
    let (admin, url) = (edge.admin, format!("http://{}/", edge.admin));
    let callers = traffic(&edge);

    person.does(&json!({ "do": "open", "url": url }));
    person.sees("#what", "team-edge");
    person.sees("#what", "<img src=x onerror=alert(1)>");
    person.does(&json!({ "do": "miss", "where": "#what a, #what img" }));
    person.sees("#who", "no failures");
    person.sees("#well", "It is well.");
    person.sees("#well", "of 99.9 %");
    person.sees("#well", "of 99 % within 250 ms");
    person.does(&json!({ "do": "unfold", "text": "catalog: " }));
    person.sees("#layers", "attempt-deadline");
    person.does(&json!({ "do": "unfold", "text": "this server (http): " }));
    person.sees("#layers", "Does anybody wait for it?");
    person.does(&json!({ "do": "accessible" }));
    person.does(&json!({ "do": "shot", "name": "healthy" }));

    // On purpose.
    let fault = r#"{"name":"drill","target":"catalog","abort":503,"share":0.3,"why":"a drill","for":"5m"}"#;
    assert_eq!(crate::faults::change(&edge, "POST", "/platform/faults", fault).await, 200);
    person.sees("#purpose", "fault drill");
    person.sees("#well", "on purpose: fault drill");
    person.sees("#who", "% fail");
    person.does(&json!({ "do": "shot", "name": "chaos" }));
    person.does(&json!({ "do": "phone", "url": url, "name": "chaos-phone-dark" }));
    person.does(&json!({ "do": "change", "button": "Stop…", "why": "seen enough" }));
    person.sees("#purpose", "Nothing:");
    person.sees("#changed", "fault `drill` stopped");

    // By hand, with and without a mouse, and back.
    person.does(&json!({ "do": "change", "button": "Hold open…", "why": "to see it" }));
    person.sees("#who", "held open by hand");
    person.does(&json!({ "do": "change", "button": "Undo…", "why": "seen" }));
    person.sees("#who", "closed");
    person.does(&json!({ "do": "keyboard", "key": "zone a", "why": "a flood" }));
    person.sees("#act", "zone a is evacuated");
    person.does(&json!({ "do": "change", "button": "Undo…", "why": "it is dry" }));
    // Another App of this test has the log, so this one says why it has not.
    let refusal = "this process's log belongs to the App that started first";
    person.does(&json!({ "do": "refused", "button": "Log more for ten minutes…", "text": refusal }));
    person.does(&json!({ "do": "change", "button": "observe", "why": "it is time", "field": "off" }));
    person.sees("#purpose", "catalog off");

    let hold = "Hold closed…";
    person.does(
        &json!({ "do": "token", "url": url, "wrong": "guess", "right": "s3cret-of-bob", "button": hold }),
    );
    person.sees("#changed", "bob");
    person.sees("#who", "held closed by hand");
    person.does(&json!({ "do": "change", "button": "Undo…", "why": "seen" }));

    // The dependency goes away.
    catalog.end().await;
    person.sees("#well", "Callers are being failed.");
    person.sees("#who", "0 ready");
    person.does(&json!({ "do": "accessible" }));
    person.does(&json!({ "do": "shot", "name": "degraded" }));

    // The process is replaced under the open page.
    person.does(&json!({ "do": "change", "button": "Drain this process…", "why": "it is replaced" }));
    callers.abort();
    assert_eq!(edge.ended().await.code(), 0);
    person.does(&json!({ "do": "lost" }));
    person.does(&json!({ "do": "shot", "name": "lost" }));
    let catalog = town.catalog("catalog-2", "").await;
    let edge = town.edge_at(&admin.to_string(), "edge-2", "").await;
    person.does(&json!({ "do": "back", "text": "edge-2" }));
    person.sees("#purpose", "Nothing:");
    edge.end().await;
    catalog.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sees_the_whole_fleet_and_goes_to_one_of_it() {
    let Some(mut person) = Person::sits_down() else { return };
    let town = Town::new();
    let one = town.catalog("catalog-1", "[service]\nowner = \"team-catalog\"\nzone = \"a\"").await;
    let two = town.catalog("catalog-2", "[service]\nversion = \"2.0.0\"\nvariant = \"canary\"").await;
    let edge = town.edge("[clients.catalog.balance]\nvariants = { canary = 0.3 }").await;
    let (url, callers) = (format!("http://{}/", edge.admin), traffic(&edge));

    person.does(&json!({ "do": "open", "url": url }));
    person.does(&json!({ "do": "turn", "view": "Fleet" }));
    person.sees("#total", "3 instances of 2 services");
    person.sees("#services", "2.0.0 (canary)");
    person.sees("#services", "no failures");
    person.does(&json!({ "do": "accessible" }));

    // Somebody else wrote into the registry, and nobody answers where he says.
    let version = "<img src=x onerror=alert(1)>";
    crate::fleet::write_record(
        &town.registry(),
        "evil",
        &json!({
            "name": "catalog", "instance": "evil", "address": "127.0.0.1:1", "admin": "127.0.0.1:1",
            "version": version, "variant": "stable", "owner": "<b>owner</b>",
        }),
    );
    person.sees("#services", version);
    person.sees("#services", "evil: silent");
    person.does(&json!({ "do": "miss", "where": "#services img, #services b" }));
    // What has happened by now fills the lines.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    person.does(&json!({ "do": "shot", "name": "fleet" }));
    person.does(&json!({ "do": "phone", "url": format!("{url}#fleet"), "name": "fleet-phone-dark" }));

    // One leaves in order, and is gone without a freeze.
    let gone = one.stop();
    person.sees("#total", "3 instances of 2 services");
    assert_eq!(gone.await.expect("it does not panic").expect("it ends well").code(), 0);
    person.does(&json!({ "do": "visit", "instance": "catalog-2" }));
    person.sees("#what", "2.0.0");
    callers.abort();
    edge.end().await;
    two.end().await;
}
