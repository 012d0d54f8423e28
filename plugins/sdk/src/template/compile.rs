//! Template text to nodes, at a component's build or in a test.
//!
//! The parser is `hcl-edit`'s. Whitespace marks are applied here, once, by OpenTofu's rule: its scanner cuts literal text
//! into lines, and a mark trims only the piece of a line next to it. What this engine would not evaluate exactly as
//! OpenTofu does is refused, so that it fails at the build and not on a node.

use hcl_edit::Number;
use hcl_edit::expr::{BinaryOperator, Expression, ObjectKey, TraversalOperator, UnaryOperator};
use hcl_edit::template::{Directive, Element, Strip};

use super::functions::Function;
use super::value::normalised;
use super::{Expr, Node, Operator, Template};

/// Why a text is no template that this engine evaluates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// Not the template language.
    #[error("not a template: {0}")]
    Syntax(String),
    /// Part of the language that this engine leaves out.
    #[error("not supported in a template of user data: {0}")]
    Unsupported(String),
}

impl std::str::FromStr for Template {
    type Err = CompileError;

    fn from_str(text: &str) -> Result<Self, CompileError> {
        if text.starts_with('\u{feff}') {
            return Err(unsupported("a byte order mark"));
        }
        if text.replace("\r\n", "").contains('\r') {
            return Err(unsupported("a carriage return without a line feed"));
        }
        let parsed: hcl_edit::template::Template =
            text.parse().map_err(|error: hcl_edit::parser::Error| CompileError::Syntax(error.to_string()))?;
        let elements: Vec<&Element> = parsed.iter().collect();
        Ok(Self { nodes: nodes(&elements, Edges::default())? })
    }
}

fn unsupported(what: impl Into<String>) -> CompileError {
    CompileError::Unsupported(what.into())
}

/// Whether the marks around a run of elements trim its first and its last literal.
#[derive(Debug, Clone, Copy, Default)]
struct Edges {
    trim_first: bool,
    trim_last: bool,
}

fn nodes(elements: &[&Element], edges: Edges) -> Result<Vec<Node<'static>>, CompileError> {
    let mut out = Vec::with_capacity(elements.len());
    for (at, element) in elements.iter().enumerate() {
        match element {
            Element::Literal(text) => {
                let before = at.checked_sub(1).map(|i| outer_strip(elements[i]).strip_end());
                let after = elements.get(at + 1).map(|next| outer_strip(next).strip_start());
                let (first, last) = (before.unwrap_or(edges.trim_first), after.unwrap_or(edges.trim_last));
                // OpenTofu's scanner cuts such lines elsewhere.
                if (first || last) && ["$\n", "%\n", "$\r", "%\r"].iter().any(|end| text.value().contains(end)) {
                    return Err(unsupported(
                        "a line that ends in `$` or `%`, in text with a whitespace mark next to it",
                    ));
                }
                let text = trim(text.value(), first, last);
                if !text.is_empty() {
                    out.push(Node::Text(text.to_owned().into()));
                }
            }
            Element::Interpolation(interpolation) => out.push(Node::Value(expression(&interpolation.expr)?)),
            Element::Directive(directive) => out.push(lower_directive(directive)?),
        }
    }
    Ok(out)
}

fn outer_strip(element: &Element) -> Strip {
    let (start, end) = match element {
        Element::Literal(_) => return Strip::None,
        Element::Interpolation(interpolation) => return interpolation.strip,
        Element::Directive(directive) => match &**directive {
            Directive::If(directive) => (directive.if_expr.strip, directive.endif_expr.strip),
            Directive::For(directive) => (directive.for_expr.strip, directive.endfor_expr.strip),
        },
    };
    Strip::from((start.strip_start(), end.strip_end()))
}

fn trim(text: &str, first: bool, last: bool) -> &str {
    let mut text = text;
    if first {
        let line = text.find('\n').map_or(text.len(), |at| at + 1);
        text = &text[line - text[..line].trim_start().len()..];
    }
    if last {
        let line = text.strip_suffix('\n').unwrap_or(text).rfind('\n').map_or(0, |at| at + 1);
        text = &text[..line + text[line..].trim_end().len()];
    }
    text
}

fn lower_directive(directive: &Directive) -> Result<Node<'static>, CompileError> {
    match directive {
        Directive::If(directive) => {
            let (opening, ending) = (directive.if_expr.strip, directive.endif_expr.strip);
            let middle = directive.else_expr.as_ref().map_or(ending, |branch| branch.strip);
            let then: Vec<&Element> = directive.if_expr.template.iter().collect();
            let otherwise = match &directive.else_expr {
                None => Vec::new(),
                Some(branch) => {
                    let elements: Vec<&Element> = branch.template.iter().collect();
                    nodes(&elements, Edges { trim_first: branch.strip.strip_end(), trim_last: ending.strip_start() })?
                }
            };
            Ok(Node::If {
                condition: expression(&directive.if_expr.cond_expr)?,
                then: nodes(&then, Edges { trim_first: opening.strip_end(), trim_last: middle.strip_start() })?,
                otherwise,
            })
        }
        Directive::For(directive) => {
            let head = &directive.for_expr;
            let body: Vec<&Element> = head.template.iter().collect();
            let edges =
                Edges { trim_first: head.strip.strip_end(), trim_last: directive.endfor_expr.strip.strip_start() };
            Ok(Node::For {
                key: head.key_var.as_ref().map(|name| name.as_str().to_owned()),
                value: head.value_var.as_str().to_owned(),
                each: expression(&head.collection_expr)?,
                body: nodes(&body, edges)?,
            })
        }
    }
}

fn expression(expr: &Expression) -> Result<Expr<'static>, CompileError> {
    Ok(match expr {
        Expression::Null(_) => Expr::Null,
        Expression::Bool(value) => Expr::Bool(*value.value()),
        Expression::Number(value) => Expr::Int(whole(value.value())?),
        Expression::String(text) => Expr::Text(normalised(text.value().clone()).into()),
        Expression::Variable(name) => Expr::Variable(name.as_str().to_owned().into()),
        Expression::Parenthesis(inner) => expression(inner.inner())?,
        Expression::Array(items) => Expr::List(items.iter().map(expression).collect::<Result<_, _>>()?),
        Expression::Object(items) => Expr::Object(
            items
                .iter()
                .map(|(key, item)| {
                    let key = match key {
                        ObjectKey::Ident(name) => Expr::Text(name.as_str().to_owned().into()),
                        ObjectKey::Expression(expr) => expression(expr)?,
                    };
                    Ok((key, expression(item.expr())?))
                })
                .collect::<Result<_, _>>()?,
        ),
        Expression::StringTemplate(template) => {
            let elements: Vec<&Element> = template.iter().collect();
            if elements.iter().any(|element| outer_strip(element) != Strip::None) {
                return Err(unsupported("a whitespace mark within quotes"));
            }
            Expr::Template(nodes(&elements, Edges::default())?)
        }
        Expression::Conditional(parts) => Expr::Choose(Box::new((
            expression(&parts.cond_expr)?,
            expression(&parts.true_expr)?,
            expression(&parts.false_expr)?,
        ))),
        Expression::FuncCall(call) => {
            if call.name.is_namespaced() || call.args.expand_final() {
                return Err(unsupported("a provider's function, and `...` in a call"));
            }
            let arguments = call.args.iter().map(expression).collect::<Result<Vec<_>, _>>()?;
            let function = Function::named(call.name.name.as_str(), arguments.len()).map_err(unsupported)?;
            Expr::Call(function, arguments)
        }
        Expression::Traversal(path) => traversal(expression(&path.expr)?, path.operators.iter().map(|o| o.value()))?,
        Expression::UnaryOp(operation) => match operation.operator.value() {
            UnaryOperator::Not => Expr::Not(Box::new(expression(&operation.expr)?)),
            UnaryOperator::Neg => return Err(unsupported("a negative number")),
        },
        Expression::BinaryOp(operation) => {
            let operator = *operation.operator.value();
            for side in [&operation.lhs_expr, &operation.rhs_expr] {
                chain(operator, side)?;
            }
            let sides = (expression(&operation.lhs_expr)?, expression(&operation.rhs_expr)?);
            Expr::Binary(lower_operator(operator)?, Box::new(sides))
        }
        Expression::HeredocTemplate(_) => return Err(unsupported("a heredoc")),
        Expression::ForExpr(_) => {
            return Err(unsupported("a `for` expression; use the `%{ for }` directive"));
        }
    })
}

/// Only `a && b && c` and `a || b || c` may stand without parentheses: for these, how they group changes nothing.
fn chain(operator: BinaryOperator, side: &Expression) -> Result<(), CompileError> {
    match side {
        Expression::BinaryOp(inner)
            if *inner.operator.value() != operator || !matches!(operator, BinaryOperator::And | BinaryOperator::Or) =>
        {
            Err(unsupported("operators side by side without parentheses"))
        }
        _ => Ok(()),
    }
}

fn whole(number: &Number) -> Result<i64, CompileError> {
    number.as_i64().ok_or_else(|| unsupported(format!("the number {number}; only whole numbers are")))
}

fn traversal<'a>(
    of: Expr<'static>,
    path: impl Iterator<Item = &'a TraversalOperator>,
) -> Result<Expr<'static>, CompileError> {
    path.into_iter().try_fold(of, |of, step| match step {
        TraversalOperator::GetAttr(name) => Ok(Expr::Attribute(Box::new(of), name.as_str().to_owned())),
        TraversalOperator::Index(index) => Ok(Expr::Index(Box::new(of), Box::new(expression(index)?))),
        _ => Err(unsupported("a splat or a legacy index")),
    })
}

fn lower_operator(operator: BinaryOperator) -> Result<Operator, CompileError> {
    Ok(match operator {
        BinaryOperator::Eq => Operator::Equal,
        BinaryOperator::NotEq => Operator::NotEqual,
        BinaryOperator::And => Operator::And,
        BinaryOperator::Or => Operator::Or,
        BinaryOperator::Less => Operator::Less,
        BinaryOperator::LessEq => Operator::LessEqual,
        BinaryOperator::Greater => Operator::Greater,
        BinaryOperator::GreaterEq => Operator::GreaterEqual,
        BinaryOperator::Plus => Operator::Plus,
        BinaryOperator::Minus => Operator::Minus,
        _ => return Err(unsupported("multiplication, division and remainder")),
    })
}
