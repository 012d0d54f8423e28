//! Evaluation: nodes and variables in, text with holes out.

use std::collections::BTreeMap;

use super::{EvalError, Expr, Filled, Node, Operator, Value, Variables};

/// Names bound by `for`, innermost first, ending at the template's variables.
enum Scope<'a> {
    Root(&'a Variables),
    Bound { name: &'a str, value: &'a Value, outer: &'a Scope<'a> },
}

impl Scope<'_> {
    fn get(&self, wanted: &str) -> Option<&Value> {
        match self {
            Self::Root(variables) => variables.get(wanted),
            Self::Bound { name, value, .. } if *name == wanted => Some(value),
            Self::Bound { outer, .. } => outer.get(wanted),
        }
    }
}

pub(super) fn fill(nodes: &[Node<'_>], variables: &Variables) -> Result<Filled, EvalError> {
    let mut out = Filled::default();
    write_nodes(&mut out, nodes, &Scope::Root(variables))?;
    out.normalise();
    Ok(out)
}

fn write_nodes(out: &mut Filled, nodes: &[Node<'_>], scope: &Scope<'_>) -> Result<(), EvalError> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_text(text),
            // A known text is copied once, from where it is.
            Node::Value(Expr::Variable(name)) if matches!(scope.get(name), Some(Value::Text(_))) => {
                if let Some(Value::Text(text)) = scope.get(name) {
                    out.push_text(text);
                }
            }
            Node::Value(expr) => match evaluate(expr, scope)? {
                Value::Hole { name, max_bytes } => out.push_hole(name, max_bytes),
                known => out.push_text(&known.to_text("an interpolation")?),
            },
            Node::If { condition, then, otherwise } => {
                let branch = if evaluate(condition, scope)?.to_bool("if")? { then } else { otherwise };
                write_nodes(out, branch, scope)?;
            }
            Node::For { key, value, each, body } => {
                for (index, item) in entries(evaluate(each, scope)?)? {
                    let inner = Scope::Bound { name: value, value: &item, outer: scope };
                    match key {
                        Some(key) => {
                            let inner = Scope::Bound { name: key, value: &index, outer: &inner };
                            write_nodes(out, body, &inner)?;
                        }
                        None => write_nodes(out, body, &inner)?,
                    }
                }
            }
        }
    }
    Ok(())
}

fn entries(collection: Value) -> Result<Vec<(Value, Value)>, EvalError> {
    match collection {
        Value::List(items) => {
            let numbered = items.into_iter().zip(0_i64..);
            Ok(numbered.map(|(item, index)| (Value::Int(index), item)).collect())
        }
        Value::Map(items) => Ok(items.into_iter().map(|(key, item)| (Value::Text(key), item)).collect()),
        other => Err(other.unexpected("for", "a list or a map")),
    }
}

fn evaluate(expr: &Expr<'_>, scope: &Scope<'_>) -> Result<Value, EvalError> {
    Ok(match expr {
        Expr::Null => Value::Null,
        Expr::Bool(value) => Value::Bool(*value),
        Expr::Int(value) => Value::Int(*value),
        Expr::Text(text) => Value::Text(text.as_ref().to_owned()),
        Expr::Variable(name) => {
            scope.get(name).cloned().ok_or_else(|| EvalError::UnknownVariable(name.as_ref().to_owned()))?
        }
        Expr::Template(nodes) => nested_template(nodes, scope)?,
        Expr::List(items) => Value::List(items.iter().map(|item| evaluate(item, scope)).collect::<Result<_, _>>()?),
        Expr::Object(items) => object(items, scope)?,
        Expr::Attribute(of, name) => attribute(evaluate(of, scope)?, name)?,
        Expr::Index(of, index) => index_into(evaluate(of, scope)?, &evaluate(index, scope)?)?,
        Expr::Call(function, arguments) => {
            let values = arguments.iter().map(|a| evaluate(a, scope)).collect::<Result<Vec<_>, _>>()?;
            function.call(&values)?
        }
        Expr::Choose(parts) => choose(parts, scope)?,
        Expr::Not(inner) => Value::Bool(!evaluate(inner, scope)?.to_bool("!")?),
        Expr::Binary(operator, sides) => {
            let (left, right) = (evaluate(&sides.0, scope)?, evaluate(&sides.1, scope)?);
            binary(*operator, &left, &right)?
        }
    })
}

/// A quoted template: a lone interpolation keeps its kind, anything else is text and must be known.
fn nested_template(nodes: &[Node<'_>], scope: &Scope<'_>) -> Result<Value, EvalError> {
    if let [Node::Value(only)] = nodes {
        return evaluate(only, scope);
    }
    let mut out = Filled::default();
    write_nodes(&mut out, nodes, scope)?;
    match out.first_hole() {
        Some(hole) => Err(EvalError::ComputedHole { hole: hole.to_owned(), place: "a quoted template".to_owned() }),
        None => Ok(Value::text(out.into_text())),
    }
}

fn object(items: &[(Expr<'_>, Expr<'_>)], scope: &Scope<'_>) -> Result<Value, EvalError> {
    let mut map = BTreeMap::new();
    for (key, item) in items {
        let key = evaluate(key, scope)?.to_text("an object's key")?;
        map.insert(key, evaluate(item, scope)?);
    }
    Ok(Value::Map(map))
}

fn attribute(of: Value, name: &str) -> Result<Value, EvalError> {
    match of {
        Value::Map(mut items) => items.remove(name).ok_or_else(|| missing(name)),
        other => Err(other.unexpected(&format!(".{name}"), "an object")),
    }
}

fn index_into(of: Value, index: &Value) -> Result<Value, EvalError> {
    match (of, index) {
        (Value::List(items), Value::Int(index)) => {
            let found = usize::try_from(*index).ok().and_then(|at| items.into_iter().nth(at));
            found.ok_or_else(|| missing(&index.to_string()))
        }
        (Value::Map(mut items), Value::Text(key)) => items.remove(key).ok_or_else(|| missing(key)),
        (other, Value::Int(_) | Value::Text(_)) => Err(other.unexpected("an index", "a list or a map")),
        (_, other) => Err(other.unexpected("an index", "a number or a string")),
    }
}

fn missing(key: &str) -> EvalError {
    EvalError::Type { place: "an index".to_owned(), reason: format!("there is no element `{key}`") }
}

/// OpenTofu gives both arms one type; of mixed scalars that is text.
fn choose(parts: &(Expr<'_>, Expr<'_>, Expr<'_>), scope: &Scope<'_>) -> Result<Value, EvalError> {
    const PLACE: &str = "a conditional";
    let (wanted, other) =
        if evaluate(&parts.0, scope)?.to_bool(PLACE)? { (&parts.1, &parts.2) } else { (&parts.2, &parts.1) };
    let (value, other) = (evaluate(wanted, scope)?, evaluate(other, scope)?);
    match (&value, &other) {
        (Value::Null, _) | (_, Value::Null) => Ok(value),
        (Value::Text(_) | Value::Hole { .. }, Value::Text(_) | Value::Hole { .. } | Value::Bool(_) | Value::Int(_)) => {
            Ok(value)
        }
        (Value::Bool(_) | Value::Int(_), Value::Text(_) | Value::Hole { .. }) => value.to_text(PLACE).map(Value::text),
        (Value::Bool(_), Value::Bool(_)) | (Value::Int(_), Value::Int(_)) => Ok(value),
        _ => Err(EvalError::Type {
            place: PLACE.to_owned(),
            reason: format!("its arms are {} and {}; only scalars may be chosen", value.kind(), other.kind()),
        }),
    }
}

fn binary(operator: Operator, left: &Value, right: &Value) -> Result<Value, EvalError> {
    const PLACE: &str = "an operator";
    if let Some(hole) = [left, right].into_iter().find(|side| matches!(side, Value::Hole { .. })) {
        return Err(hole.unexpected(PLACE, "a known value"));
    }
    let integers = || match (left, right) {
        (Value::Int(left), Value::Int(right)) => Ok((*left, *right)),
        (Value::Int(_), other) | (other, _) => Err(other.unexpected(PLACE, "a whole number")),
    };
    let overflow = || EvalError::Type { place: PLACE.to_owned(), reason: "the result is too large".to_owned() };
    Ok(match operator {
        Operator::Equal => Value::Bool(left == right),
        Operator::NotEqual => Value::Bool(left != right),
        Operator::And => Value::Bool(left.to_bool("&&")? && right.to_bool("&&")?),
        Operator::Or => Value::Bool(left.to_bool("||")? || right.to_bool("||")?),
        Operator::Less => integers().map(|(l, r)| Value::Bool(l < r))?,
        Operator::LessEqual => integers().map(|(l, r)| Value::Bool(l <= r))?,
        Operator::Greater => integers().map(|(l, r)| Value::Bool(l > r))?,
        Operator::GreaterEqual => integers().map(|(l, r)| Value::Bool(l >= r))?,
        Operator::Plus => integers().and_then(|(l, r)| l.checked_add(r).map(Value::Int).ok_or_else(overflow))?,
        Operator::Minus => integers().and_then(|(l, r)| l.checked_sub(r).map(Value::Int).ok_or_else(overflow))?,
    })
}
