//! Kubernetes: the pods of a service. **Against a double**: an API server comes from no package registry, so one with
//! its rules of list and watch (versions, bookmarks, pages, 410) stands in for it.

mod double;
mod pods;
