//! On one machine, on etcd, on Kubernetes.
//!
//! A service is the same binary everywhere. What differs is where its instances are known, and that is a setting.
//!
//! # On one machine
//! Nothing is set. The registry is a folder, `$XDG_RUNTIME_DIR/platform/registry`, or `platform-UID/registry` in the temporary
//! folder; each instance keeps a file in it, with a lease of 30 s. Two services on one machine need two ports: the profile `dev`
//! of a generated service takes free ones (`server.listen = "127.0.0.1:0"`), and the line `ready` says which. `Ctrl-C` drains
//! without waiting for anybody to notice.
//!
//! # Where DNS knows
//! ```toml
//! [clients.inventory]
//! target = "dns://inventory.shop:8080"     # addresses; dns+srv://_inventory._http.shop for SRV records with weights
//! ```
//!
//! or `registry = "dns"` with `dns = { suffix = "shop.internal", port = 8080 }` for all names. Answers hold as long as they say
//! themselves. Somebody else writes the records; nobody registers.
//!
//! # On etcd
//! With the feature `etcd` of `platform-http`, and etcd 3.4 or later:
//!
//! ```toml
//! [discovery]
//! registry = "etcd"
//! etcd = { endpoints = ["https://etcd-0:2379", "https://etcd-1:2379", "https://etcd-2:2379"], user = "orders", password_file = "/run/secrets/etcd", tls = { ca = "/etc/etcd/ca.pem" } }
//! ```
//!
//! Name all members: one is asked at a time, and another when it fails or is silent. An instance needs to read and write under
//! `/platform/services`. When etcd is away everybody goes on with what was known; when it is back, everybody is registered again
//! before the old records are believed to be gone. A process that starts meanwhile begins with the list that it saved on disk, so
//! give it a folder that outlives it (`discovery.snapshot`).
//!
//! # On Consul
//! With the feature `consul`: `registry = "consul"`, and the agent of the machine. A service of ours has a check whose time to
//! live is the lease; what others register is found too, with its health and its tags (`consul://inventory?tag=v2`).
//!
//! # On Kubernetes
//! With the feature `kubernetes`, which the generated `Dockerfile` switches on. The generated `deploy/kubernetes.yaml` has all of
//! it; what it has to have, and why:
//!
//! | in the manifest | because |
//! |---|---|
//! | `PLATFORM__DISCOVERY__REGISTRY=kubernetes`, a role that may `list` and `watch` `endpointslices` | endpoints are read from the cluster's slices and balanced here, pod by pod; a Service's address would pick one for a whole connection |
//! | `PLATFORM__ADMIN__LISTEN=0.0.0.0:9464` | probes come from outside the pod; without a token file such a listener shows health and metrics and nothing else |
//! | `POD_NAME`, `POD_IP` | the instance's name, and where others reach it |
//! | `startupProbe`, `livenessProbe`, `readinessProbe` on `/startupz`, `/livez`, `/readyz` | ready is whether it should be called, live is only whether its runtime answers; a dependency belongs into neither |
//! | `terminationGracePeriodSeconds: 30` | `lifecycle.propagation` (5 s), `grace` (20 s) and `flush` (3 s) have to fit into it |
//! | memory limits, no processor limits | memory is watched and shed before the limit; a processor limit stops a process in the middle of a request |
//! | `readOnlyRootFilesystem`, a small `/tmp` | nothing is written but the saved lists |
//!
//! Nobody registers: who is ready is in the slices by its readiness probe. A pod that ends is not ready at once, is seen to be,
//! finishes what was begun, and goes. Metrics are scraped at `:9464/metrics`; traces go where `OTEL_EXPORTER_OTLP_ENDPOINT` says.
//!
//! # Anywhere
//! * `--check` reads the configuration as the service would and ends; `platform check FOLDER` reads all of a company's.
//! * `--describe` prints what would run, every value with its origin.
//! * Secrets are files: a password, a token, a certificate. They are read again when they change, and never printed.
//! * Exit statuses: 0 drained clean, 1 something was cut or lost, 2 wrong flags, 69 could not start, 78 wrong configuration.
