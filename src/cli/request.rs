//! Arguments become a [`RunRequest`]: the same form that every mode ends in.

use super::args;
use super::exit::Exit;
use super::failure::Failure;
use crate::plan::{Mode, Network, OnConflict};
use crate::run::request::{LimitAsk, RunRequest};

impl args::Storage {
    /// The storage as written, short forms spelled out.
    pub(super) fn written(&self) -> Option<String> {
        let short =
            [(self.dropbox, "dropbox"), (self.gdrive, "gdrive"), (self.onedrive, "onedrive"), (self.box_, "box")];
        let short = short.into_iter().find_map(|(given, name)| given.then(|| name.to_owned()));
        // A short form was typed; `--storage` beside it can come from the environment only.
        short.or_else(|| self.storage.clone())
    }

    /// The storage, which must be given.
    pub(super) fn required(&self) -> Result<String, Failure> {
        self.written().ok_or_else(|| {
            Failure::new(Exit::Usage, "no storage is given")
                .why("outputs are read from where they were published")
                .help("--storage local:DIR, or export SOOPERVISOR_STORAGE=local:DIR")
        })
    }
}

impl args::Pipeline {
    /// What is asked for about the pipeline itself.
    pub(super) fn request(&self) -> RunRequest {
        RunRequest {
            path: self.path.clone(),
            pipeline: self.files.pipeline.clone(),
            environment: self.files.environment.clone(),
            project: self.project.clone(),
            mode: if self.sample { Some(Mode::Sample) } else { self.full.then_some(Mode::Full) },
            image: self.image.clone(),
            env: self.env.clone(),
            secrets: self.secret.clone(),
            allow_dirty: self.allow_dirty,
            split_streams: self.split_streams,
            no_reuse: self.no_reuse,
            build_args: self.build_args.clone(),
            ..RunRequest::default()
        }
    }
}

impl args::Run {
    /// All that is asked for.
    pub(super) fn request(&self) -> RunRequest {
        let limits = &self.limits;
        RunRequest {
            storage: self.storage.written(),
            limits: LimitAsk {
                memory_bytes: limits.memory,
                cpus: limits.cpus,
                pids: limits.pids,
                disk_bytes: limits.disk,
                log_bytes: limits.log_limit,
                timeout: limits.timeout,
                idle_timeout: limits.idle_timeout,
            },
            network: limits.network.map(|network| match network {
                args::Network::None => Network::None,
                args::Network::Bridge => Network::Bridge,
            }),
            on_conflict: self.on_conflict.map(|on_conflict| match on_conflict {
                args::OnConflict::Fail => OnConflict::Fail,
                args::OnConflict::Keep => OnConflict::Keep,
                args::OnConflict::NewRun => OnConflict::NewRun,
            }),
            refresh: self.refresh,
            frozen_as: self.frozen_as.clone(),
            keep_work: self.keep_work,
            ..self.pipeline.request()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Verb};
    use crate::run::request::EnvAsk;

    fn request(words: &str) -> RunRequest {
        let words = ["soopervisor", "run"].into_iter().chain(words.split_whitespace());
        match Cli::try_parse_from(words).unwrap().verb {
            Verb::Run(run) => run.request(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_not_typed_stays_open() {
        assert_eq!(request("repo"), RunRequest { path: "repo".into(), ..RunRequest::default() });
    }

    #[test]
    fn everything_typed_arrives() {
        let request = request(
            "repo --pipeline p/a.yaml --environment e.yml --storage local:out --sample --project p --image i --env A=1 --env B --secret T=env:U --timeout 1m \
             --idle-timeout 5s --memory 1g --cpus 0.5 --pids 7 --disk 2g --log-limit 5g --network none --allow-dirty \
             --on-conflict new-run --split-streams --no-reuse --keep-work --frozen-as v1 -- --force --log info",
        );
        let env = |name: &str, value: Option<&str>| EnvAsk { name: name.into(), value: value.map(str::to_owned) };
        assert_eq!(request.storage.as_deref(), Some("local:out"));
        assert_eq!((request.pipeline.as_deref(), request.environment.as_deref()), (Some("p/a.yaml"), Some("e.yml")));
        assert_eq!((request.mode, request.network), (Some(Mode::Sample), Some(Network::None)));
        assert_eq!(request.on_conflict, Some(OnConflict::NewRun));
        assert_eq!(request.env, [env("A", Some("1")), env("B", None)]);
        assert_eq!(request.secrets, ["T=env:U"]);
        assert_eq!(request.build_args, ["--force", "--log", "info"]);
        assert_eq!((request.limits.memory_bytes, request.limits.pids), (Some(1 << 30), Some(7)));
        assert_eq!((request.limits.disk_bytes, request.limits.log_bytes), (Some(2 << 30), Some(5 << 30)));
        assert!(request.allow_dirty && request.split_streams && request.no_reuse && request.keep_work);
        assert_eq!((request.refresh, request.frozen_as.as_deref()), (false, Some("v1")));
        // The command that a failure card names asks for the same.
        let again = crate::run::again::command(&request).unwrap().replace('\'', "");
        assert_eq!(self::request(again.strip_prefix("soopervisor run ").unwrap()), request);
    }

    #[test]
    fn a_command_that_asks_again_is_quoted_and_none_for_what_no_person_asked_for() {
        let env = vec![EnvAsk { name: "A".to_owned(), value: Some("it's".to_owned()) }];
        let storage = Some("local:my results".to_owned());
        let asked = RunRequest { path: "my repo".into(), env, storage, ..RunRequest::default() };
        let command = crate::run::again::command(&asked).unwrap();
        assert_eq!(command, r"soopervisor run 'my repo' --storage 'local:my results' --env 'A=it'\''s'");
        assert_eq!(crate::run::again::command(&RunRequest { hosted: true, ..asked }), None);
    }

    #[test]
    fn packages_are_solved_anew_or_as_they_were_and_not_both() {
        assert!(request("repo --refresh").refresh);
        let both = ["soopervisor", "run", "repo", "--refresh", "--frozen-as", "latest"];
        assert!(Cli::try_parse_from(both).unwrap_err().to_string().contains("cannot be used with"));
    }

    #[test]
    fn short_forms_name_a_storage_and_two_of_them_are_refused() {
        for name in ["dropbox", "gdrive", "onedrive", "box"] {
            assert_eq!(request(&format!("repo --{name}")).storage.as_deref(), Some(name));
        }
        for words in ["run repo --box --dropbox", "run repo --sample --full", "run repo -q -v", "run"] {
            let words = ["soopervisor"].into_iter().chain(words.split_whitespace());
            assert!(Cli::try_parse_from(words).is_err());
        }
    }
}
