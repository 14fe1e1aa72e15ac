//! Packages of Erlang and Elixir: the locks `rebar.lock` and `mix.lock`, and OTP
//! applications, each of which has an `.app` file.

use std::collections::HashMap;

use serde_json::json;

use super::data::Reason;
use super::lock::{self, Lock};
use super::terms::{Term, terms};
use super::{Cataloguer, Finds, Found, Scope};
use crate::sbom::document::Ecosystem;
use crate::sbom::purl::purl;

const LONGEST: u64 = 4 << 20;

pub(super) const REBAR: Cataloguer = Cataloguer {
    ecosystem: REBAR_LOCK,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| name == "rebar.lock",
        supports: |_, _| false,
        longest: LONGEST,
        find: |view, path, found: &mut Found| lock::read(view, path, REBAR_LOCK, found, rebar),
    },
};

pub(super) const MIX: Cataloguer = Cataloguer {
    ecosystem: MIX_LOCK,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| name == "mix.lock",
        supports: |_, _| false,
        longest: LONGEST,
        find: |view, path, found: &mut Found| lock::read(view, path, MIX_LOCK, found, mix),
    },
};

pub(super) const OTP: Cataloguer = Cataloguer {
    ecosystem: APPLICATION,
    scope: Scope::Components,
    finds: Finds::InFiles {
        lists: |_, name| name.ends_with(".app"),
        supports: |_, _| false,
        longest: 1 << 20,
        // Other programs have files of this name, so what does not fit is no fault.
        find: |view, path, found: &mut Found| {
            lock::read(view, path, APPLICATION, found, |file, text, found| {
                application(file, text, found);
                Ok(())
            });
        },
    },
};

const REBAR_LOCK: Ecosystem = Ecosystem {
    kind: "hex",
    language: "erlang",
    found_by: "erlang-rebar-lock-cataloger",
    metadata_type: "erlang-rebar-lock-entry",
};

const MIX_LOCK: Ecosystem = Ecosystem {
    kind: "hex",
    language: "elixir",
    found_by: "elixir-mix-lock-cataloger",
    metadata_type: "elixir-mix-lock-entry",
};

const APPLICATION: Ecosystem = Ecosystem {
    kind: "erlang-otp",
    language: "erlang",
    found_by: "erlang-otp-application-cataloger",
    metadata_type: "",
};

/// `{"1.2.0", [{<<"name">>, {pkg, <<"name">>, <<"1.0">>}, 0}, ...]}.` and then
/// `[{pkg_hash, [{<<"name">>, <<"hash">>}]}, {pkg_hash_ext, ...}].`; an old file has
/// the list alone.
fn rebar(file: &Lock<'_>, text: &str, found: &mut Found) -> Result<(), Reason> {
    let terms = terms(text, '%')?;
    let Some(first) = terms.first() else {
        return Ok(());
    };
    let list = match first {
        Term::Tuple(pair) => pair.get(1).map_or(&[][..], Term::items),
        other => other.items(),
    };
    let hashes = |key: &str| -> HashMap<&str, &str> {
        let list = terms.get(1).and_then(|hashes| hashes.get(key));
        let pairs = list.map_or(&[][..], Term::items).iter().map(Term::items);
        let pairs = pairs.filter(|pair| pair.len() > 1);
        pairs.map(|pair| (pair[0].text(), pair[1].text())).collect()
    };
    let (inner, outer) = (hashes("pkg_hash"), hashes("pkg_hash_ext"));
    for entry in list {
        let [name, source, ..] = entry.items() else {
            continue;
        };
        let [_, second, third, ..] = source.items() else {
            continue;
        };
        let local = name.text();
        // The package may have another name than its folder.
        let (name, version) = match third.items() {
            [kind, reference] if !kind.text().is_empty() => (local, reference.text()),
            _ => (second.text(), third.text()),
        };
        if name.is_empty() {
            continue;
        }
        let hash =
            |hashes: &HashMap<&str, &str>| hashes.get(local).copied().unwrap_or("").to_owned();
        let mut package = file.package(REBAR_LOCK, name, version);
        package.purl = purl("hex", "", name, version, &[]);
        package.describe(&json!({
            "name": name, "version": version, "pkgHash": hash(&inner), "pkgHashExt": hash(&outer),
        }));
        found.push(package);
    }
    Ok(())
}

/// `%{"name": {:hex, :name, "1.0", "hash", [:mix], [{:needed, ...}], "hexpm", "hash"}}`,
/// and `{:git, "url", "commit", [options]}`.
fn mix(file: &Lock<'_>, text: &str, found: &mut Found) -> Result<(), Reason> {
    let terms = terms(text, '#')?;
    let map = terms.first().map_or(&[][..], Term::items);
    for pair in map.chunks_exact(2) {
        let [source, second, version, rest @ ..] = pair[1].items() else {
            continue;
        };
        let (application, is_hex) = (pair[0].text(), source.text() == "hex");
        // The package may have another name than its application.
        let name = if is_hex { second.text() } else { application };
        if name.is_empty() {
            continue;
        }
        let version = version.text();
        let mut package = file.package(MIX_LOCK, name, version);
        let mut facts = json!({"name": name, "version": version, "pkgHash": "", "pkgHashExt": ""});
        if is_hex {
            let hash = |at: usize| json!(rest.get(at).map_or("", Term::text));
            (facts["pkgHash"], facts["pkgHashExt"]) = (hash(0), hash(4));
            package.purl = purl("hex", "", name, version, &[]);
            let needs = rest.get(2).map_or(&[][..], Term::items).iter();
            let needs = needs.filter_map(|need| Some(need.items().first()?.text()));
            let mut needs: Vec<&str> = needs.collect();
            needs.sort_unstable();
            if !needs.is_empty() {
                facts["dependencies"] = json!(needs);
            }
            package.requires = file.keys(needs, found);
        }
        package.provides.push(file.key(application));
        package.describe(&facts);
        found.push(package);
    }
    Ok(())
}

/// `{application, name, [{vsn, "1.0"}, {applications, [kernel, stdlib]}, ...]}.`
fn application(file: &Lock<'_>, text: &str, found: &mut Found) -> Option<()> {
    let terms = terms(text, '%').ok()?;
    let [kind, name, facts] = terms.first()?.items() else {
        return None;
    };
    let (name, version) = (name.text(), facts.get("vsn")?.text());
    if kind.text() != "application" || name.is_empty() || version.is_empty() {
        return None;
    }
    let mut package = file.package(APPLICATION, name, version);
    package.purl = purl("otp", "", name, version, &[]);
    found.push(package);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::{find_in, findings};
    use super::*;

    #[test]
    fn locked_packages_have_their_hashes() {
        let text = b"{\"1.2.0\",\n[{<<\"folder\">>,{pkg,<<\"cowlib\">>,<<\"2.7.3\">>},1},\n\
            {<<\"g\">>,{git,\"https://x/g.git\",{ref,\"abc\"}},0}]}.\n\
            [\n{pkg_hash,[\n {<<\"folder\">>, <<\"A1\">>}]},\n{pkg_hash_ext,[{<<\"folder\">>, <<\"B2\">>}]}\n].\n";
        let found = find_in(&REBAR, &[("p/rebar.lock", text)]);
        assert_eq!(found[0].purl, "pkg:hex/cowlib@2.7.3");
        assert_eq!(
            found[0].metadata.as_ref().unwrap().get(),
            r#"{"name":"cowlib","pkgHash":"A1","pkgHashExt":"B2","version":"2.7.3"}"#
        );
        assert_eq!(found[1].purl, "pkg:hex/g@abc");
        let old = b"[{<<\"a\">>,{pkg,<<\"a\">>,<<\"1\">>},0}].";
        assert_eq!(find_in(&REBAR, &[("rebar.lock", old)]).len(), 1);
        assert_eq!(findings(&REBAR, &[("rebar.lock", b"{")]).unknowns.len(), 1);
    }

    #[test]
    fn mix_locks_have_packages_and_repositories() {
        let text = b"%{\n  \"dec\": {:hex, :decimal, \"2.0.0\", \"a7\", [:mix], [{:g, \"~> 1\", [hex: :g]}], \"hexpm\", \"a8\"},\n  \
            \"g\": {:git, \"https://x/g.git\", \"abc\", [branch: \"x\"]},\n  odd: 1, broken: {}\n}\n";
        let found = find_in(&MIX, &[("mix.lock", text)]);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0].metadata.as_ref().unwrap().get(),
            r#"{"dependencies":["g"],"name":"decimal","pkgHash":"a7","pkgHashExt":"a8","version":"2.0.0"}"#
        );
        assert_eq!(found[0].requires, found[1].provides);
        assert_eq!(
            (found[1].version.as_str(), found[1].purl.as_str()),
            ("abc", "")
        );
    }

    #[test]
    fn applications_are_found_among_other_files() {
        let files: &[(&str, &[u8])] = &[
            (
                "e/kernel.app",
                b"%% c\n{application, kernel, [{description, \"x\"}, {vsn, \"8.5\"}]}.\n",
            ),
            ("e/other.app", b"<plist>"),
            ("e/none.app", b"{application, x, [{vsn, Vsn}, {a, b"),
        ];
        let all = findings(&OTP, files);
        assert_eq!(all.packages.len(), 1);
        assert_eq!(all.packages[0].purl, "pkg:otp/kernel@8.5");
        assert!(all.unknowns.is_empty());
    }
}
