#!/usr/bin/env bash
# Project {{ project|safe }}, commit {{ revision|safe }}, {{ mode|safe }} run.
# Written by soopervisor. To repeat it by hand, in the same image and with a fresh copy of the commit:
#   SOOPERVISOR_WORK=/path/to/copy SOOPERVISOR_ACTIVATE=/path/to/activate.sh bash run.sh
set -euo pipefail
umask 022
{%- if !split_streams %}
exec 2>&1 # one stream, so that lines keep their order
{%- endif %}

sv_work=${SOOPERVISOR_WORK:-{{ work }}}
sv_activation=${SOOPERVISOR_ACTIVATE:-{{ activate }}}

{% include "script/steps.sh" %}

{% if !secret_names.is_empty() -%}
# Secrets come through the environment; only their names are written down.
sv_secrets=({% for name in secret_names %}{% if !loop.first %} {% endif %}{{ name }}{% endfor %})
for sv_secret in "${sv_secrets[@]}"; do
  [[ -v $sv_secret ]] || { echo "the secret $sv_secret is not set" >&2; exit 1; }
done

{% endif -%}
export HOME="${HOME:-{{ home }}}" LANG="${LANG:-C.UTF-8}" PYTHONUNBUFFERED=1
export PLOOMBER_STATS_ENABLED=false PLOOMBER_VERSION_CHECK_DISABLED=true
cd -- "$sv_work"{% if !folder.is_empty() %}/{{ folder|safe }}{% endif %}

begin activate
[[ -r $sv_activation ]] || { echo "the environment is missing: $sv_activation cannot be read" >&2; exit 1; }
set +eu # activation scripts of conda packages are written for interactive shells
# shellcheck source=/dev/null
source "$sv_activation"
set -eu
unset PYTHONNOUSERSITE
export PYTHONUSERBASE="$HOME/.soopervisor/user" # this run's own packages; the environment itself is read-only
export PATH="$PYTHONUSERBASE/bin:$PATH"
{%- for (name, value) in env %}
export {{ name }}={{ value }}
{%- endfor %}
end

{% if !installs.is_empty() -%}
begin install
{% include "script/install.sh" %}
{%- for line in installs %}
{% match line.wheel %}{% when Some with (number) %}project {{ number }}{% when None %}install{% endmatch %}{% for word in line.words %} {{ word }}{% endfor %}
{%- endfor %}
end

{% endif -%}
begin build
run ploomber build --entry-point {{ entry_point }}{% if sample %} --env--sample true{% endif %}{% for arg in build_args %} {{ arg }}{% endfor %}
end
