package policy

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
	keystile "keystile.dev/keystile"
)

const (
	maxWhen   = 4 << 10  // bytes of one `when` expression
	maxPolicy = 64 << 10 // bytes of the policies of one route
)

// condition is a set of Cedar policies, all of which decide together.
type condition struct {
	// name is what explanations call it: "when", or the names of the files.
	name string
	set  *cedar.PolicySet
}

// check returns why the condition does not hold, "" if it does.
//
// Cedar leaves a policy that fails to evaluate out of the decision, so a forbid
// with a mistake in it would allow. Here any evaluation error is a refusal.
func (c *condition) check(f *facts) (cause string) {
	decision, diagnostic := cedar.Authorize(c.set, f, f.request())
	if len(diagnostic.Errors) > 0 {
		e := diagnostic.Errors[0]
		return fmt.Sprintf("%s could not be evaluated: policy %s: %s", c.name, e.PolicyID, e.Message)
	}
	if decision == cedar.Allow {
		return ""
	}
	if len(diagnostic.Reasons) > 0 {
		return fmt.Sprintf("%s: forbidden by policy %s", c.name, diagnostic.Reasons[0].PolicyID)
	}
	return c.name + ": nothing permits the request"
}

// whenCondition compiles routes[].when: the expression of a single condition.
// Text that closes the condition to begin another, or another policy, is refused.
func whenCondition(expression string) (condition, *keystile.Invalid) {
	const remedy = "write one Cedar expression, such as principal.role != \"role_guest\""
	if strings.TrimSpace(expression) == "" || len(expression) > maxWhen {
		return condition{}, keystile.Invalidf("when", remedy, "the condition is empty or longer than 4 KiB")
	}
	text := "permit (principal, action, resource) when {\n" + expression + "\n};"
	list, err := cedar.NewPolicyListFromBytes("when", []byte(text))
	if err != nil {
		return condition{}, keystile.Invalidf("when", remedy, "the condition is not valid: %s", cedarError(err, 1))
	}
	if len(list) != 1 || len(list[0].AST().Conditions) != 1 {
		return condition{}, keystile.Invalidf("when", remedy, "the condition is more than one expression")
	}
	set := cedar.NewPolicySet()
	set.Add("when", list[0])
	return condition{name: "when", set: set}, nil
}

// policyText is one file of Cedar policies.
type policyText struct{ name, text string }

// fileCondition compiles routes[].policies: the policies of all files decide
// together, by Cedar's rule: some permit holds and no forbid does.
func fileCondition(files []policyText) (condition, []*keystile.Invalid) {
	const field = "policies"
	var problems []*keystile.Invalid
	set, permits, size := cedar.NewPolicySet(), false, 0
	for _, file := range files {
		if size += len(file.text); size > maxPolicy {
			problems = append(problems, keystile.Invalidf(field, "use at most 64 KiB a route", "the policies have more than 64 KiB"))
			break
		}
		list, err := cedar.NewPolicyListFromBytes(file.name, []byte(file.text))
		if err != nil {
			problems = append(problems, keystile.Invalidf(field, "correct the policy",
				"%s is not valid Cedar: %s", file.name, cedarError(err, 0)))
		}
		for _, p := range list {
			at := p.Position()
			set.Add(cedar.PolicyID(fmt.Sprintf("%s:%d:%d", file.name, at.Line, at.Column)), p)
			permits = permits || p.Effect() == cedar.Permit
		}
	}
	if !permits && len(problems) == 0 {
		problems = append(problems, keystile.Invalidf(field,
			"add permit(principal, action, resource); if everything but the forbidden is meant",
			"the policies permit nothing, so every request would be refused"))
	}
	return condition{name: "policies", set: set}, problems
}

// cedarPosition is how the Cedar parser writes a place in its errors.
var cedarPosition = regexp.MustCompile(`<input>:(\d+):(\d+)`)

// cedarError rewrites a parser's error for people: the place as line and
// column, lines counted without the first extra ones.
func cedarError(err error, extra int) string {
	text := strings.TrimPrefix(err.Error(), "parser error: ")
	return cedarPosition.ReplaceAllStringFunc(text, func(place string) string {
		m := cedarPosition.FindStringSubmatch(place)
		line, err := strconv.Atoi(m[1])
		if err != nil {
			return place
		}
		return fmt.Sprintf("line %d, column %s", max(line-extra, 1), m[2])
	})
}
