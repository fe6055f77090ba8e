# shellcheck shell=bash disable=SC2207
# highgopress.bash - completion for bash.
# Made from src/base/config.def by tools/gen_docs; change it there.
_highgopress() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    case $before in
    --http) COMPREPLY=() && return ;;
    --grpc) COMPREPLY=() && return ;;
    --admin) COMPREPLY=() && return ;;
    --counter) COMPREPLY=() && return ;;
    --data) COMPREPLY=($(compgen -f -- "$word")) && return ;;
    --store) COMPREPLY=() && return ;;
    --loop) COMPREPLY=($(compgen -W 'auto io_uring epoll' -- "$word")) && return ;;
    --threads) COMPREPLY=() && return ;;
    --handover) COMPREPLY=($(compgen -f -- "$word")) && return ;;
    --upstream) COMPREPLY=($(compgen -W 'grpc direct canary' -- "$word")) && return ;;
    --analytics) COMPREPLY=() && return ;;
    --discovery) COMPREPLY=() && return ;;
    --durability) COMPREPLY=($(compgen -W 'fast local replicated' -- "$word")) && return ;;
    --events) COMPREPLY=() && return ;;
    --config) COMPREPLY=($(compgen -f -- "$word")) && return ;;
    esac
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W '--config --check-config --print-config --help --version --http --grpc --admin --counter --data --store --loop --threads --handover --upstream --analytics --discovery --durability --events --prefix --list --each --json --strict --wait --from --from-password --partition --from --to --cancel --apply' -- "$word"))
        return
    fi
    case $COMP_CWORD:${COMP_WORDS[1]} in
    1:*) COMPREPLY=($(compgen -W 'config healthcheck import move recount recover verify all gateway counter analytics' -- "$word")) ;;
    2:config) COMPREPLY=($(compgen -W 'get put diff list history rollback watch validate' -- "$word")) ;;
    2:healthcheck | 2:import | 2:move | 2:recount | 2:recover | 2:verify | 3:config) COMPREPLY=($(compgen -W 'all gateway counter analytics' -- "$word")) ;;
    4:config) COMPREPLY=($(compgen -f -- "$word")) ;;
    esac
}
complete -F _highgopress highgopress
