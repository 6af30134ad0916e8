# Completion of carrier for fish 3 and later: carrier completion fish | source

function __carrier_complete
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    for line in ($program __complete -- $words "$last" 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path (string replace -r '^--[^=]*=' '' -- $last)
            case ':*'
            case '*'
                echo $line
        end
    end
end

complete -c carrier -f -a '(__carrier_complete)'
