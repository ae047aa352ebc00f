//! Output profiles: which family of clients the rows are for.

/// What a client can read, and so what it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Profile {
    /// Every type that the common clients read: no views, no dictionaries, no Decimal256.
    #[default]
    Default,
    /// Columns as the engine has them, for clients that keep up with Arrow.
    Native,
    /// What the Grafana plugin understands; the rest is text.
    Grafana,
    /// As `default`, with parameters that the JDBC driver binds rightly.
    Jdbc,
}

impl Profile {
    /// All names, as they are spelt in options and headers.
    pub(crate) const NAMES: [&str; 4] = ["default", "native", "grafana", "jdbc"];

    /// The profile of that name, regardless of case.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        let all = [Self::Default, Self::Native, Self::Grafana, Self::Jdbc];
        all.into_iter().find(|profile| profile.name().eq_ignore_ascii_case(name.trim()))
    }

    /// The name under which it is chosen and shown.
    pub(crate) fn name(self) -> &'static str {
        let [default, native, grafana, jdbc] = Self::NAMES;
        match self {
            Self::Default => default,
            Self::Native => native,
            Self::Grafana => grafana,
            Self::Jdbc => jdbc,
        }
    }

    /// The profile of a client that did not choose one.
    ///
    /// Grafana's plugin does not name itself: it is known by the bare agent of the one gRPC library
    /// it was built with. Other Go programs have another version, or a name before it.
    pub(crate) fn for_user_agent(agent: &str) -> Self {
        let agent = agent.trim();
        if JDBC_AGENTS.iter().any(|known| agent.starts_with(known)) {
            Self::Jdbc
        } else if agent == GRAFANA_AGENT {
            Self::Grafana
        } else {
            Self::Default
        }
    }
}

/// How the driver names itself: by its library up to 18.3, by its own name later.
const JDBC_AGENTS: [&str; 2] = ["JDBC Flight SQL Driver", "grpc-java-netty/"];
/// What the plugin 1.1.1 sends.
const GRAFANA_AGENT: &str = "grpc-go/1.58.3";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_found_by_its_name_in_any_case() {
        for name in Profile::NAMES {
            let found = Profile::by_name(&name.to_uppercase()).expect("a name of ours");
            assert_eq!(found.name(), name);
        }
        assert_eq!(Profile::by_name("tableau"), None);
        assert_eq!(Profile::by_name(""), None);
    }

    #[test]
    fn adbc_31_the_user_agent_selects_the_profile() {
        let chosen = [
            ("ADBC Flight SQL Driver v1.13.0 grpc-go/1.81.1", Profile::Default),
            ("JDBC Flight SQL Driver 18.3.0 grpc-java-netty/1.71.0", Profile::Jdbc),
            ("JDBC Flight SQL Driver 18.3.0", Profile::Jdbc),
            ("grpc-java-netty/1.71.0", Profile::Jdbc),
            ("grpc-go/1.58.3", Profile::Grafana),
            ("grpc-go/1.81.1", Profile::Default),
            ("my-tool grpc-go/1.58.3", Profile::Default),
            ("", Profile::Default),
        ];
        for (agent, profile) in chosen {
            assert_eq!(Profile::for_user_agent(agent), profile, "{agent}");
        }
    }
}
