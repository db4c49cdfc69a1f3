/* SPDX-License-Identifier: Apache-2.0
 *
 * flow/flow_yaml_times.c: the keys of a pipeline file that say when runs are due: its schedule, how
 * many at once, behind which pipelines, and sources that are watched. Called by flow_yaml.c. */
#include "base/text.h"
#include "flow/flow_int.h"

#define MAX_RUNS  64
#define POLL_US   INT64_C(30000000) /* how often a watched folder is listed */
#define SETTLE_US INT64_C(2000000)  /* a local file is whole when it was not changed so long */

/* A yes or no; *out stays as it is where the key is missing. */
static sm_status read_flag(const sm_pipeline *p, const sm_yaml_fields *f, int key, bool *out,
                           sm_error *e)
{
    sm_str word = {0};

    SM_TRY(sm_yaml_fields_text(&p->yaml, f, key, "a value", f->has[key], &word, e));
    if (f->has[key] && !sm_str_is(word, "true") && !sm_str_is(word, "false")) {
        return smi_flow_at(p, sm_yaml_place_of(f->values[key]),
                           sm_fail(e, SM_INVALID, "%s is true or false, not \"%.*s\"", f->keys[key],
                                   SM_STR_ARG(word)),
                           e);
    }
    *out = f->has[key] ? sm_str_is(word, "true") : *out;
    return SM_OK;
}

sm_status smi_flow_yaml_watch(const sm_pipeline *p, const sm_yaml_fields *f, int watch,
                              smi_flow_source *s, sm_error *e)
{
    s->poll_us = POLL_US;
    SM_TRY(read_flag(p, f, watch, &s->is_watched, e));
    for (int key = watch + 1; key <= watch + 2; key++) {
        if (f->has[key] && !s->is_watched) {
            return smi_flow_at(
                p, f->places[key],
                sm_fail(e, SM_SYNTAX, "%s is for sources with watch: true", f->keys[key]), e);
        }
    }
    if (!s->is_watched) {
        return SM_OK;
    }
    s->settle_us = SETTLE_US;
    SM_TRY(smi_flow_yaml_duration(p, f, watch + 1, 1, &s->poll_us, e));
    SM_TRY(smi_flow_yaml_duration(p, f, watch + 2, 0, &s->settle_us, e));
    if (!p->vars[s->var].has_default) {
        const sm_status st = sm_fail(e, SM_INVALID, "the folder of a watched source is not known");
        sm_error_todo(e, "Give the variable %.*s a default.", SM_STR_ARG(s->name));
        return smi_flow_at(p, sm_yaml_place_of(f->values[watch]), st, e);
    }
    return SM_OK;
}

sm_status smi_flow_yaml_schedule(sm_pipeline *p, const sm_yaml_fields *f, int schedule, sm_error *e)
{
    const int zone = schedule + 1;
    sm_str name = SM_STR("UTC");

    SM_TRY(sm_yaml_fields_text(&p->yaml, f, schedule, "the pipeline", f->has[schedule],
                               &p->schedule_text, e));
    SM_TRY(sm_yaml_fields_text(&p->yaml, f, zone, "the pipeline", f->has[zone], &name, e));
    if (f->has[schedule]) {
        SM_TRY(smi_flow_at(p, sm_yaml_place_of(f->values[schedule]),
                           sm_cron_parse(p->schedule_text, &p->schedule, e), e));
    } else if (f->has[zone]) {
        return smi_flow_at(p, f->places[zone], sm_fail(e, SM_SYNTAX, "timezone without a schedule"),
                           e);
    }
    const sm_yaml_place at = f->has[zone] ? sm_yaml_place_of(f->values[zone]) : f->at;
    return smi_flow_at(p, at, sm_zone_load(name, p->arena, &p->zone, e), e);
}

sm_status smi_flow_yaml_runs(sm_pipeline *p, const sm_yaml_fields *f, int catchup, sm_error *e)
{
    const int most = catchup + 1, after = catchup + 2;
    sm_str text = {0};
    int64_t n = 1;

    SM_TRY(read_flag(p, f, catchup, &p->catches_up, e));
    if (p->catches_up && p->schedule_text.len == 0) {
        return smi_flow_at(p, f->places[catchup],
                           sm_fail(e, SM_SYNTAX, "catchup without a schedule"), e);
    }
    SM_TRY(sm_yaml_fields_text(&p->yaml, f, most, "the pipeline", f->has[most], &text, e));
    if (f->has[most] && (!sm_parse_i64(text, &n) || n < 1 || n > MAX_RUNS)) {
        return smi_flow_at(p, sm_yaml_place_of(f->values[most]),
                           sm_fail(e, SM_INVALID, "%s is a number from 1 to %d, not \"%.*s\"",
                                   f->keys[most], MAX_RUNS, SM_STR_ARG(text)),
                           e);
    }
    p->max_runs = (int32_t)n;
    if (f->has[after] && p->schedule_text.len > 0) {
        const sm_status st = sm_fail(e, SM_INVALID, "schedule and after exclude each other");
        sm_error_todo(e, "A pipeline with after runs when those that it names have succeeded.");
        return smi_flow_at(p, f->places[after], st, e);
    }
    return f->has[after] ? smi_flow_yaml_names(p, f, after, "pipeline", &p->after, &p->n_after, e)
                         : SM_OK;
}
