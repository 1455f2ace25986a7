//! Which module of a crate names which other, in `use` or in a path, and where. Modules are those directly below the
//! root of the crate; what they consist of belongs to them. The root itself is none, and what it exports again belongs to
//! the module it comes from. Tests do not count.

use crate::workspace::root;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemMod, ItemUse, Macro, Meta, UseTree};

/// One module names another.
pub(crate) struct Import {
    pub(crate) from: String,
    pub(crate) to: String,
    /// `host/src/agent.rs:12`.
    pub(crate) place: String,
}

/// All imports between the modules of the crate in that folder.
pub(crate) fn of(folder: &Path) -> Vec<Import> {
    let roots = ["src/lib.rs", "src/main.rs"].map(|name| folder.join(name));
    roots.iter().filter(|file| file.exists()).flat_map(|file| of_root(file)).collect()
}

fn of_root(file: &Path) -> Vec<Import> {
    let parsed = parse(file);
    let modules = parsed.items.iter().filter_map(|item| match item {
        Item::Mod(module) if !is_test(&module.attrs) => Some(module.ident.to_string()),
        _ => None,
    });
    // By which name of the root one reaches which module.
    let mut tops: BTreeMap<_, _> = modules.map(|name| (name.clone(), name)).collect();
    for item in &parsed.items {
        if let Item::Use(item) = item {
            for (path, alias) in flatten(&item.tree) {
                let path: Vec<_> = path.iter().filter(|it| *it != "crate" && *it != "self").collect();
                if let [first, _, ..] = path[..]
                    && let Some(module) = tops.get(first).cloned()
                {
                    tops.entry(alias).or_insert(module);
                }
            }
        }
    }
    let mut walk = Walk {
        tops: &tops,
        module: Vec::new(),
        file: file.to_owned(),
        below: file.parent().unwrap().to_owned(),
        found: Vec::new(),
    };
    walk.visit_file(&parsed);
    walk.found
}

fn parse(file: &Path) -> syn::File {
    let text = std::fs::read_to_string(file).unwrap();
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

struct Walk<'a> {
    tops: &'a BTreeMap<String, String>,
    /// The module it is in, from the root.
    module: Vec<String>,
    file: PathBuf,
    /// Where the files of this module's modules are.
    below: PathBuf,
    found: Vec<Import>,
}

impl Walk<'_> {
    fn add(&mut self, path: &[String], line: usize) {
        let Some(own) = self.module.first() else { return };
        let target = match path.first().map(String::as_str) {
            Some("crate") => path.get(1),
            Some("super") => {
                let up = path.iter().take_while(|it| *it == "super").count();
                path.get(up).filter(|_| up == self.module.len())
            }
            _ => None,
        };
        let Some(to) = target.and_then(|name| self.tops.get(name)) else { return };
        if to != own {
            let file = self.file.strip_prefix(root()).unwrap().display();
            self.found.push(Import { from: own.clone(), to: to.clone(), place: format!("{file}:{line}") });
        }
    }

    /// Paths in what a macro or an attribute is given.
    fn scan(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut start = 0;
        // An identifier after `::` goes on with a path, any other begins one.
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.add(&path, start);
                        path.clear();
                        start = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Group(group) => {
                    self.scan(group.stream());
                    colons = 0;
                }
                TokenTree::Literal(literal) => {
                    // `#[serde(with = "crate::…")]`
                    let text = literal.to_string();
                    let path: Vec<_> = text.trim_matches('"').split("::").map(str::to_owned).collect();
                    self.add(&path, literal.span().start().line);
                    colons = 0;
                }
                TokenTree::Punct(_) => colons = 0,
            }
        }
        self.add(&path, start);
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let is_test = matches!(item, ImplItem::Fn(function) if is_test(&function.attrs));
        if !is_test {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let name = module.ident.to_string();
        let below = self.below.join(&name);
        self.module.push(name);
        let outer = std::mem::replace(&mut self.below, below);
        if module.content.is_some() {
            visit::visit_item_mod(self, module);
        } else {
            let file = [self.below.with_extension("rs"), self.below.join("mod.rs")]
                .into_iter()
                .find(|it| it.exists());
            let file = file.unwrap_or_else(|| panic!("no file of {}", self.below.display()));
            let parsed = parse(&file);
            if !is_test(&parsed.attrs) {
                let outer = std::mem::replace(&mut self.file, file);
                self.visit_file(&parsed);
                self.file = outer;
            }
        }
        self.below = outer;
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let line = item.use_token.span.start().line;
        for (path, _) in flatten(&item.tree) {
            self.add(&path, line);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let Some(first) = path.segments.first() {
            self.add(&names, first.ident.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.scan(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.scan(list.tokens.clone());
        }
    }
}

/// Each path of a `use`, and the name it has afterwards.
fn flatten(tree: &UseTree) -> Vec<(Vec<String>, String)> {
    match tree {
        UseTree::Path(path) => {
            let name = path.ident.to_string();
            let prefixed = |(mut rest, alias): (Vec<String>, String)| {
                rest.insert(0, name.clone());
                (rest, alias)
            };
            flatten(&path.tree).into_iter().map(prefixed).collect()
        }
        UseTree::Name(name) => vec![(vec![name.ident.to_string()], name.ident.to_string())],
        UseTree::Rename(rename) => vec![(vec![rename.ident.to_string()], rename.rename.to_string())],
        UseTree::Glob(_) => vec![(vec!["*".to_owned()], "*".to_owned())],
        UseTree::Group(group) => group.items.iter().flat_map(flatten).collect(),
    }
}

/// Whether something is there for tests only.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => names_test(list.tokens.clone()),
        _ => false,
    })
}

/// `test`, `all(test, …)`; not `not(test)`.
fn names_test(tokens: TokenStream) -> bool {
    let mut negated = false;
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => {
            negated = ident == "not";
            ident == "test"
        }
        TokenTree::Group(group) => !negated && names_test(group.stream()),
        _ => false,
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
