//! "Did you mean": the known word nearest to an unknown one.

/// The closest of `known`, where one is close enough to be meant.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let wanted = plain(word);
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&wanted, &plain(candidate)), candidate))
        .filter(|(score, candidate)| *score >= 0.85 && *candidate != word)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Names in one help; a pipeline may have a thousand tasks.
const SHOWN: usize = 20;

/// `did you mean `x`?`, or the list of what there is.
pub fn help<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(candidate) = closest(word, known.clone()) {
        return format!("did you mean `{candidate}`?");
    }
    let mut names: Vec<&str> = known.into_iter().collect();
    if names.is_empty() {
        return "there are none here yet".to_owned();
    }
    names.sort_unstable();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    format!("known here: {}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::help;

    #[test]
    fn a_near_name_is_meant_else_all_are_told_and_that_there_are_none() {
        assert_eq!(help("uper", ["lower", "upper"]), "did you mean `upper`?");
        assert_eq!(help("x", ["b", "a"]), "known here: `a`, `b`");
        assert_eq!(help("x", [""; 0]), "there are none here yet");
    }
}
