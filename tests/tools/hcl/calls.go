package main

import (
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// module is what path.module evaluates to in the root; folders of the set follow it.
const module = "/module"

// calls notes every function that is called below a node. OpenTofu's function names may have `core::` before them.
func (s *survey) calls(file string, in []string, node hclsyntax.Node) {
	paths := cty.ObjectVal(map[string]cty.Value{
		"module": cty.StringVal(path.Join(module, path.Dir(file))),
		"root":   cty.StringVal("/root"),
		"cwd":    cty.StringVal("/cwd"),
	})
	context := &hcl.EvalContext{Variables: map[string]cty.Value{"path": paths}}
	// The walk's own diagnostics are those of the visitor, which has none.
	_ = hclsyntax.VisitAll(node, func(node hclsyntax.Node) hcl.Diagnostics {
		call, is := node.(*hclsyntax.FunctionCallExpr)
		if !is {
			return nil
		}
		seen := s.note("call", file, call.Range(), in, call.Name)
		if len(call.Args) > 0 {
			seen.Value = text(call.Args[0], context)
		}
		if strings.TrimPrefix(call.Name, "core::") == "templatefile" && seen.Value != nil && len(in) == 0 {
			s.template(*seen.Value)
		}
		return nil
	})
}

// template notes the functions of a template file of the set.
func (s *survey) template(at string) {
	name := strings.TrimPrefix(path.Clean(at), module+"/")
	content, is := s.files[name]
	if !is {
		return
	}
	parsed, diagnostics := hclsyntax.ParseTemplate(content, name, hcl.Pos{Line: 1, Column: 1})
	s.wrong(diagnostics)
	if parsed != nil {
		s.calls(name, []string{"template"}, parsed)
	}
}

// json notes the functions in every text of a JSON file, keys included: each is a template once it is decoded.
func (s *survey) json(file string, body hcl.Body) {
	attributes, _ := body.JustAttributes()
	for _, attribute := range attributes {
		s.expression(file, attribute.Expr)
	}
}

func (s *survey) expression(file string, expression hcl.Expression) {
	if pairs, diagnostics := hcl.ExprMap(expression); !diagnostics.HasErrors() {
		for _, pair := range pairs {
			s.expression(file, pair.Key)
			s.expression(file, pair.Value)
		}
		return
	}
	if list, diagnostics := hcl.ExprList(expression); !diagnostics.HasErrors() {
		for _, one := range list {
			s.expression(file, one)
		}
		return
	}
	decoded := text(expression, nil)
	if decoded == nil {
		return
	}
	parsed, diagnostics := hclsyntax.ParseTemplate([]byte(*decoded), file, expression.Range().Start)
	s.wrong(diagnostics)
	if parsed != nil {
		s.calls(file, nil, parsed)
	}
}
