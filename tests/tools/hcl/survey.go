package main

import (
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
)

// top is how OpenTofu reads the outermost level of a file.
var top = schema("language", "required_providers", "provider name", "variable name", "locals", "output name", "module name",
	"resource type name", "data type name", "ephemeral type name", "moved", "import", "check name", "removed", "terraform")

// inner is how it reads the next level, by the block around it.
var inner = map[string]*hcl.BodySchema{
	"terraform": schema("backend type", "cloud", "required_providers", "provider_meta provider", "encryption"),
	"resource":  schema("locals", "lifecycle", "connection", "provisioner type", "_"),
	"ephemeral": schema("locals", "lifecycle", "connection", "provisioner type", "_"),
	"removed":   schema("lifecycle", "connection", "provisioner type"),
	"data":      schema("lifecycle", "locals", "_"),
	"check":     schema("data type name", "assert"),
	"module":    schema("_", "lifecycle", "locals", "provider"),
	"provider":  schema("locals", "lifecycle", "_"),
	"variable":  schema("validation"),
	"output":    schema("precondition", "postcondition"),
}

// schema reads blocks out of their type and the names of their labels.
func schema(blocks ...string) *hcl.BodySchema {
	made := &hcl.BodySchema{}
	for _, block := range blocks {
		words := strings.Fields(block)
		made.Blocks = append(made.Blocks, hcl.BlockHeaderSchema{Type: words[0], LabelNames: words[1:]})
	}
	return made
}

// survey collects what is seen in one set.
type survey struct {
	files  map[string][]byte
	answer answer
}

func (s *survey) wrong(diagnostics hcl.Diagnostics) {
	for _, one := range diagnostics {
		if one.Severity == hcl.DiagError {
			s.answer.Errors = append(s.answer.Errors, one.Error())
		}
	}
}

func (s *survey) note(kind, file string, at hcl.Range, in []string, name string) *fact {
	seen := fact{Kind: kind, File: file, Line: at.Start.Line, In: append([]string{}, in...), Name: name, Labels: []string{}}
	s.answer.Facts = append(s.answer.Facts, seen)
	return &s.answer.Facts[len(s.answer.Facts)-1]
}

// role is what OpenTofu does with a file because of its name; empty where that is nothing.
func role(name string) string {
	base := path.Base(name)
	if strings.HasPrefix(base, ".") || strings.HasSuffix(base, "~") || strings.HasPrefix(base, "#") && strings.HasSuffix(base, "#") {
		return ""
	}
	ends := func(of ...string) (string, bool) {
		for _, end := range of {
			if strings.HasSuffix(base, end) {
				return strings.TrimSuffix(base, end), true
			}
		}
		return base, false
	}
	if _, is := ends(".tftest.hcl", ".tftest.json", ".tofutest.hcl", ".tofutest.json"); is {
		return "test"
	}
	if stem, is := ends(".tofu", ".tofu.json"); is {
		if stem == "override" || strings.HasSuffix(stem, "_override") {
			return "override"
		}
		return "tofu"
	}
	if stem, is := ends(".tf", ".tf.json"); is {
		if stem == "override" || strings.HasSuffix(stem, "_override") {
			return "override"
		}
		return "configuration"
	}
	if _, is := ends(".auto.tfvars", ".auto.tfvars.json"); is || base == "terraform.tfvars" || base == "terraform.tfvars.json" {
		return "variables"
	}
	return ""
}

func (s *survey) file(one file) {
	is := role(one.Path)
	if is == "" {
		return
	}
	s.note("file", one.Path, hcl.Range{}, nil, is)
	if is != "configuration" && is != "override" {
		return
	}
	var parsed *hcl.File
	var diagnostics hcl.Diagnostics
	if strings.HasSuffix(one.Path, ".json") {
		parsed, diagnostics = json.Parse(one.Content, one.Path)
	} else {
		parsed, diagnostics = hclsyntax.ParseConfig(one.Content, one.Path, hcl.Pos{Line: 1, Column: 1})
	}
	s.wrong(diagnostics)
	if parsed == nil || parsed.Body == nil {
		return
	}
	content, diagnostics := parsed.Body.Content(top)
	s.wrong(diagnostics)
	s.blocks(one.Path, nil, content)
	if body, is := parsed.Body.(*hclsyntax.Body); is {
		s.native(one.Path, nil, body)
		s.calls(one.Path, nil, body)
	} else {
		s.json(one.Path, parsed.Body)
	}
}

// blocks notes what OpenTofu finds by its schemas.
func (s *survey) blocks(file string, in []string, content *hcl.BodyContent) {
	if content == nil {
		return
	}
	for _, block := range content.Blocks {
		s.note("block", file, block.DefRange, in, block.Type).Labels = append([]string{}, block.Labels...)
		within := append(append([]string{}, in...), block.Type)
		if block.Type == "required_providers" && len(in) == 1 {
			s.requirements(file, within, block.Body)
			continue
		}
		next := inner[block.Type]
		if next == nil || len(in) > 1 {
			next = &hcl.BodySchema{}
		}
		found, rest, diagnostics := block.Body.PartialContent(next)
		s.wrong(diagnostics)
		s.blocks(file, within, found)
		// Attributes of what is left; blocks among them are an error here and the provider's schema's matter.
		attributes, _ := rest.JustAttributes()
		for name, attribute := range attributes {
			seen := s.note("attribute", file, attribute.Range, within, name)
			seen.Labels, seen.Value = append([]string{}, block.Labels...), meaning(attribute.Expr, name)
		}
	}
}

// meaning is a constant text, or the name at the root of a reference to a provider.
func meaning(expression hcl.Expression, name string) *string {
	if name == "provider" {
		if index, is := expression.(*hclsyntax.IndexExpr); is {
			expression = index.Collection
		}
		if traversal, diagnostics := hcl.AbsTraversalForExpr(expression); !diagnostics.HasErrors() {
			root := traversal.RootName()
			return &root
		}
	}
	return text(expression, nil)
}

// text evaluates an expression to a text; nil where that needs more than path.module.
func text(expression hcl.Expression, context *hcl.EvalContext) *string {
	value, diagnostics := expression.Value(context)
	value, _ = value.Unmark()
	if diagnostics.HasErrors() || value.IsNull() || !value.IsKnown() || value.Type() != cty.String {
		return nil
	}
	is := value.AsString()
	return &is
}

func (s *survey) requirements(file string, in []string, body hcl.Body) {
	attributes, diagnostics := body.JustAttributes()
	s.wrong(diagnostics)
	for name, attribute := range attributes {
		seen := s.note("requirement", file, attribute.Range, in, name)
		pairs, diagnostics := hcl.ExprMap(attribute.Expr)
		if diagnostics.HasErrors() {
			seen.Version = text(attribute.Expr, nil)
			continue
		}
		for _, pair := range pairs {
			key := text(pair.Key, nil)
			if key == nil {
				continue
			}
			switch *key {
			case "source":
				seen.Value = text(pair.Value, nil)
			case "version":
				seen.Version = text(pair.Value, nil)
			}
		}
	}
}

// native notes every block that stands anywhere in HCL, whatever a schema says of it.
func (s *survey) native(file string, in []string, body *hclsyntax.Body) {
	for _, block := range body.Blocks {
		if len(in) > 0 {
			s.note("block", file, block.DefRange(), append([]string{"any"}, in...), block.Type).Labels = append([]string{}, block.Labels...)
		}
		s.native(file, append(append([]string{}, in...), block.Type), block.Body)
	}
}
