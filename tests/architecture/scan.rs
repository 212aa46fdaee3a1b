//! Reads Rust source as tokens: which paths are named where, outside tests. Comments and texts do not count.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path as it resolves: `["crate", "model", "ids"]` for our own, `["tokio", "time"]` for others.
pub type Named = Vec<String>;

/// One source file.
pub struct Source {
    /// Below `src/`: `adapters/amqp/topology.rs`.
    pub file: String,
    pub text: String,
}

/// What a file names outside its tests.
#[derive(Default)]
pub struct Names {
    pub paths: Vec<Named>,
    /// Every single word, keywords included.
    pub words: Vec<String>,
    /// What stands in for a longer path of ours within the file: modules it declares, names it imports.
    pub aliases: BTreeMap<String, Named>,
    /// Modules declared as `#[cfg(test)] mod name;`: their files are tests.
    pub test_modules: Vec<Vec<String>>,
    /// Where `#[path = "…"]` puts the file of such a module, from the directory of the file that declares it.
    test_files: Vec<String>,
}

/// Every Rust file below `directory`, sorted by name.
pub fn sources(directory: &Path) -> Vec<Source> {
    let mut found: Vec<Source> = files(directory)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| Source {
            file: path.strip_prefix(directory).expect("found below it").to_string_lossy().into_owned(),
            text: fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        })
        .collect();
    found.sort_by(|a, b| a.file.cmp(&b.file));
    assert!(!found.is_empty(), "no Rust file below {}", directory.display());
    found
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries
        .flat_map(|entry| {
            let path = entry.expect("a directory that can be read").path();
            if path.is_dir() { files(&path) } else { vec![path] }
        })
        .collect()
}

/// The module that a file below `src/` is: `adapters/amqp/mod.rs` is `adapters::amqp`, `main.rs` and `lib.rs` the root.
pub fn module_of(file: &str) -> Vec<String> {
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    let mut parts: Vec<String> = stem.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// What a source names outside its tests.
pub fn names(source: &Source) -> Names {
    let tokens: TokenStream =
        source.text.parse().unwrap_or_else(|error| panic!("{} is not Rust: {error}", source.file));
    let mut names = Names::default();
    collect(&tokens.into_iter().collect::<Vec<_>>(), &module_of(&source.file), &mut names);
    let beside = source.file.rsplit_once('/').map_or("", |(directory, _)| directory);
    names
        .test_modules
        .extend(names.test_files.iter().map(|file| module_of(format!("{beside}/{file}").trim_start_matches('/'))));
    for path in &mut names.paths {
        if let Some(alias) = names.aliases.get(&path[0]) {
            path.splice(..1, alias.iter().cloned());
        }
    }
    names
}

/// Which of these methods are awaited right where they are called.
pub fn awaited(source: &Source, methods: &[&str]) -> Vec<String> {
    let tokens = source.text.parse().unwrap_or_else(|error| panic!("{} is not Rust: {error}", source.file));
    awaited_in(tokens, methods)
}

fn awaited_in(tokens: TokenStream, methods: &[&str]) -> Vec<String> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let here = tokens.windows(5).filter_map(|call| {
        let name = word(call.get(1)).filter(|name| methods.contains(&name.as_str()))?;
        let is_call = is_punct(call.first(), '.') && matches!(&call[2], TokenTree::Group(_));
        let is_awaited = is_punct(call.get(3), '.') && word(call.get(4)).as_deref() == Some("await");
        (is_call && is_awaited).then_some(name)
    });
    let within = tokens.iter().filter_map(|token| match token {
        TokenTree::Group(group) => Some(awaited_in(group.stream(), methods)),
        TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => None,
    });
    here.chain(within.flatten()).collect()
}

fn collect(tokens: &[TokenTree], module: &[String], names: &mut Names) {
    let mut at = 0;
    while at < tokens.len() {
        if is_cfg_test(tokens, at) {
            let end = end_of_item(tokens, at + 2);
            let item = &tokens[at..end];
            names.test_files.extend(item.iter().filter_map(path_attribute));
            if let Some(name) = declared_module(item.get(item.len().saturating_sub(3)..).unwrap_or_default()) {
                names.test_modules.push([module, &[name]].concat());
            }
            at = end;
        } else if let Some((name, body)) = inline_module(tokens, at) {
            collect(&body, &[module, &[name]].concat(), names);
            at += 3;
        } else if let Some(name) = declared_module(tokens.get(at..at + 3).unwrap_or_default()) {
            names.aliases.insert(name.clone(), [&["crate".to_owned()], module, &[name]].concat());
            at += 3;
        } else if word(tokens.get(at)).is_some() && !follows_colons(tokens, at) {
            let is_use = at > 0 && word(tokens.get(at - 1)).as_deref() == Some("use");
            at = chain(tokens, at, module, &[], is_use, names);
        } else {
            names.words.extend(word(tokens.get(at)));
            if let Some(TokenTree::Group(group)) = tokens.get(at) {
                collect(&group.stream().into_iter().collect::<Vec<_>>(), module, names);
            }
            at += 1;
        }
    }
}

/// Reads the path that begins at `at`, `before` standing in front of it; gives the position behind it.
fn chain(
    tokens: &[TokenTree],
    mut at: usize,
    module: &[String],
    before: &[String],
    is_use: bool,
    names: &mut Names,
) -> usize {
    let mut path = before.to_vec();
    while let Some(name) = word(tokens.get(at)) {
        names.words.push(name.clone());
        path.push(name);
        at += 1;
        if !colons(tokens, at) {
            break;
        }
        match tokens.get(at + 2) {
            Some(TokenTree::Ident(_)) => at += 2,
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                branches(&group.stream().into_iter().collect::<Vec<_>>(), module, &path, names);
                return at + 3;
            }
            _ => break,
        }
    }
    if path.len() > 1 || is_use {
        let resolved = resolve(&path, module);
        if is_use && resolved[0] == "crate" {
            names.aliases.extend(alias(&tokens[at..], &path).map(|name| (name, resolved.clone())));
        }
        names.paths.push(resolved);
    }
    at
}

/// The name that an imported path has in this file: its last, or the one behind `as`.
fn alias(rest: &[TokenTree], path: &[String]) -> Option<String> {
    if word(rest.first()).as_deref() == Some("as") {
        return word(rest.get(1));
    }
    path.iter().rev().find(|name| *name != "self").cloned()
}

/// The alternatives within the braces of a `use`.
fn branches(tokens: &[TokenTree], module: &[String], before: &[String], names: &mut Names) {
    for branch in tokens.split(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')) {
        chain(branch, 0, module, before, true, names);
    }
}

fn resolve(path: &[String], module: &[String]) -> Named {
    let own = |rest: &[String], base: &[String]| [&["crate".to_owned()], base, rest].concat();
    match path.first().map(String::as_str) {
        Some("crate" | "roomsweep") => own(&path[1..], &[]),
        Some("self") => own(&path[1..], module),
        Some("super") => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            own(&path[ups..], &module[..module.len().saturating_sub(ups)])
        }
        _ => path.to_vec(),
    }
}

fn word(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string().trim_start_matches("r#").to_owned()),
        _ => None,
    }
}

fn is_punct(token: Option<&TokenTree>, expected: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == expected)
}

fn colons(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

/// Whether the word at `at` goes on a path that did not begin with a word, as in `<T as U>::name`.
fn follows_colons(tokens: &[TokenTree], at: usize) -> bool {
    at >= 3 && colons(tokens, at - 2) && is_punct(tokens.get(at - 3), '>')
}

fn is_cfg_test(tokens: &[TokenTree], at: usize) -> bool {
    let Some(TokenTree::Group(group)) = tokens.get(at + 1) else { return false };
    is_punct(tokens.get(at), '#') && group.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// Behind the item (or field, or arm) that begins at `at`.
fn end_of_item(tokens: &[TokenTree], mut at: usize) -> usize {
    const ITEMS: [&str; 13] = [
        "mod",
        "fn",
        "use",
        "impl",
        "struct",
        "enum",
        "const",
        "static",
        "type",
        "trait",
        "async",
        "unsafe",
        "macro_rules",
    ];
    let mut is_item = false;
    while let Some(token) = tokens.get(at) {
        at += 1;
        is_item |= word(Some(token)).is_some_and(|word| ITEMS.contains(&word.as_str()));
        let is_body = matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        if is_punct(Some(token), ';') || (is_body && is_item) || (is_punct(Some(token), ',') && !is_item) {
            // `use a::{b};` ends at its semicolon.
            return if is_punct(tokens.get(at), ';') { at + 1 } else { at };
        }
    }
    at
}

/// The name in `mod name;`.
fn declared_module(item: &[TokenTree]) -> Option<String> {
    let [keyword, name, end] = item else { return None };
    (word(Some(keyword)).as_deref() == Some("mod") && is_punct(Some(end), ';')).then(|| word(Some(name))).flatten()
}

/// The file in `[path = "file"]`.
fn path_attribute(token: &TokenTree) -> Option<String> {
    let TokenTree::Group(group) = token else { return None };
    let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
    let [TokenTree::Ident(name), TokenTree::Punct(_), TokenTree::Literal(file)] = tokens.as_slice() else {
        return None;
    };
    (name == "path").then(|| file.to_string().trim_matches('"').to_owned())
}

/// Name and body of `mod name { … }`.
fn inline_module(tokens: &[TokenTree], at: usize) -> Option<(String, Vec<TokenTree>)> {
    let Some(TokenTree::Group(body)) = tokens.get(at + 2) else { return None };
    let is_module = word(tokens.get(at)).as_deref() == Some("mod") && body.delimiter() == Delimiter::Brace;
    Some((word(tokens.get(at + 1))?, body.stream().into_iter().collect())).filter(|_| is_module)
}
