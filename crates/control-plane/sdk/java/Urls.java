package @PACKAGE@;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Addresses, encoded as RFC 3986 asks. */
final class Urls {
    private static final Pattern VARIABLE = Pattern.compile("\\{([^}+]+)(\\+?)\\}");

    private Urls() {}

    static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20").replace("*", "%2A").replace("%7E", "~");
    }

    static String encodePath(String path) {
        List<String> parts = new ArrayList<>();
        for (String part : path.split("/", -1)) {
            parts.add(encode(part));
        }
        return String.join("/", parts);
    }

    /** {name} takes one segment; {name+} keeps its slashes. */
    static String expand(String template, Map<String, String> variables) {
        Matcher matcher = VARIABLE.matcher(template);
        StringBuilder path = new StringBuilder();
        while (matcher.find()) {
            String value = variables.get(matcher.group(1));
            if (value == null) {
                throw new IllegalArgumentException(matcher.group(1) + " must be set");
            }
            String encoded = matcher.group(2).isEmpty() ? encode(value) : encodePath(value);
            matcher.appendReplacement(path, Matcher.quoteReplacement(encoded));
        }
        return matcher.appendTail(path).toString();
    }

    static String query(Map<String, List<String>> parameters) {
        List<String> pairs = new ArrayList<>();
        parameters.forEach((name, values) -> values.forEach(value -> pairs.add(encode(name) + "=" + encode(value))));
        pairs.sort(null);
        return String.join("&", pairs);
    }
}
