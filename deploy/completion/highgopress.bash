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
        COMPREPLY=($(compgen -W '--config --check-config --print-config --help --version --http --grpc --admin --counter --data --store --loop --threads --handover --upstream --analytics --discovery --durability --events --prefix --list --each --json --strict --wait --from --from-password --partition --from --to --cancel' -- "$word"))
    elif [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W 'healthcheck verify import move recount all gateway counter analytics' -- "$word"))
    elif [ "$COMP_CWORD" -eq 2 ] && [ "$before" = healthcheck ]; then
        COMPREPLY=($(compgen -W 'all gateway counter analytics' -- "$word"))
    fi
}
complete -F _highgopress highgopress
