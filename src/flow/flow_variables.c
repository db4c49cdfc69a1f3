/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_variables.c: the values of a pipeline's variables in a run: the one that --var gives,
 * else the default in the pipeline file, else, for a month or a date, the one of the run's logical
 * date. Called by flow_run.c. */
#include <stdio.h>

#include "base/text.h"
#include "base/time.h"
#include "flow/flow_int.h"

static sm_status fail_var_name(const sm_run *r, sm_str name, sm_error *e)
{
    sm_str *names = SM_NEW_ARRAY(r->arena, sm_str, r->p->n_vars);

    for (int32_t i = 0; i < r->p->n_vars; i++) {
        names[i] = r->p->vars[i].name;
    }
    const sm_status st = sm_fail(e, SM_USAGE, "pipeline %.*s has no variable \"%.*s\"",
                                 SM_STR_ARG(r->p->name), SM_STR_ARG(name));
    const char *near = sm_nearest_name(name, names, r->p->n_vars);
    if (near) {
        sm_error_todo(e, "Did you mean \"%s\"?", near);
    }
    return st;
}

static sm_status check_var_names(const sm_run *r, sm_error *e)
{
    for (int32_t i = 0; i < r->opts->n_vars; i++) {
        bool is_known = false;
        for (int32_t k = 0; k < r->p->n_vars; k++) {
            is_known = is_known || sm_str_eq(r->p->vars[k].name, r->opts->vars[i].key);
        }
        if (!is_known) {
            return fail_var_name(r, r->opts->vars[i].key, e);
        }
    }
    return SM_OK;
}

sm_str smi_flow_value_text(const sm_run *r, int32_t var)
{
    sm_buf text = {0};

    sm_value_print(r->vars[var], &text);
    const sm_str out = sm_arena_str(r->arena, sm_buf_str(&text));
    sm_buf_release(&text);
    return out;
}

bool smi_flow_parse_month(sm_str text, int32_t *first_day)
{
    char date[16];

    if (text.len != 7) {
        return false;
    }
    snprintf(date, sizeof(date), "%.7s-01", text.data);
    return sm_parse_date((sm_str){date, 10}, first_day);
}

static sm_status bind_text(const sm_run *r, const smi_flow_var *v, sm_str text, sm_value *out,
                           sm_error *e)
{
    static const char *const wanted[] = {
        [SMI_VAR_MONTH] = "a month, like 2022-04",
        [SMI_VAR_DATE] = "a date, like 2022-04-30",
        [SMI_VAR_INTEGER] = "a whole number",
    };
    _Static_assert(SM_COUNT(wanted) == SMI_VAR_INTEGER + 1, "what is wanted of the last type");
    int32_t day = 0;
    int64_t number = 0;
    bool is_good = true;

    *out = sm_value_str(sm_arena_str(r->arena, text));
    if (v->type == SMI_VAR_MONTH) {
        is_good = smi_flow_parse_month(text, &day);
    } else if (v->type == SMI_VAR_DATE) {
        is_good = sm_parse_date(text, &day);
        *out = (sm_value){.type = &sm_type_date, .as.i = day};
    } else if (v->type == SMI_VAR_INTEGER) {
        is_good = sm_parse_i64(text, &number);
        *out = sm_value_i64(number);
    } else if (v->type == SMI_VAR_URI) {
        is_good = text.len > 0;
    }
    return is_good ? SM_OK
                   : sm_fail(e, SM_USAGE, "variable %.*s: \"%.*s\" is not %s", SM_STR_ARG(v->name),
                             SM_STR_ARG(text), v->type == SMI_VAR_URI ? "a URI" : wanted[v->type]);
}

static sm_status bind_var(const sm_run *r, const smi_flow_var *v, sm_value *out, sm_error *e)
{
    char text[SM_TIME_TEXT_BYTES];

    for (int32_t i = r->opts->n_vars - 1; i >= 0; i--) { /* the last one counts */
        if (sm_str_eq(r->opts->vars[i].key, v->name)) {
            return bind_text(r, v, r->opts->vars[i].value, out, e);
        }
    }
    if (v->has_default) {
        return smi_flow_at(r->p, v->at, bind_text(r, v, v->default_text, out, e), e);
    }
    if (v->type == SMI_VAR_MONTH || v->type == SMI_VAR_DATE) {
        const size_t len = sm_format_date(smi_flow_logical_day(r), text);
        return bind_text(r, v, (sm_str){text, len - (v->type == SMI_VAR_MONTH ? 3 : 0)}, out, e);
    }
    const sm_status st = sm_fail(e, SM_USAGE, "variable %.*s has no value", SM_STR_ARG(v->name));
    sm_error_todo(e, "Set it with --var %.*s=...%s%.*s", SM_STR_ARG(v->name),
                  v->help.len ? ": " : "", SM_STR_ARG(v->help));
    return st;
}

sm_status smi_flow_variables_bind(sm_run *r, sm_error *e)
{
    r->vars = SM_NEW_ARRAY(r->arena, sm_value, r->p->n_vars);
    SM_TRY(check_var_names(r, e));
    for (int32_t i = 0; i < r->p->n_vars; i++) {
        SM_TRY(bind_var(r, &r->p->vars[i], &r->vars[i], e));
        SM_ASSERT(r->p->vars[i].type != SMI_VAR_MONTH || r->vars[i].as.s.len == 7);
        SM_ASSERT(r->p->vars[i].type != SMI_VAR_DATE || r->vars[i].type->id == SM_TYPE_DATE);
    }
    return SM_OK;
}
