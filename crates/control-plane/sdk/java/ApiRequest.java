package @PACKAGE@;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What all requests have: parameters, headers and a body.
 *
 * @param <T> the class of the request itself, so that calls can be chained
 */
public abstract class ApiRequest<T extends ApiRequest<T>> {
    final Map<String, String> path = new LinkedHashMap<>();
    final Map<String, List<String>> query = new LinkedHashMap<>();
    final Map<String, List<String>> headers = new LinkedHashMap<>();
    byte[] body = new byte[0];

    @SuppressWarnings("unchecked")
    private T self() {
        return (T) this;
    }

    /** Sets a variable of the path. */
    protected T pathParameter(String name, String value) {
        path.put(name, value);
        return self();
    }

    /** Adds a parameter to the query. */
    public T queryParameter(String name, String value) {
        query.computeIfAbsent(name, key -> new ArrayList<>()).add(value);
        return self();
    }

    /** Adds a header. */
    public T header(String name, String value) {
        headers.computeIfAbsent(name, key -> new ArrayList<>()).add(value);
        return self();
    }

    /** Sets the body, JSON unless a header Content-Type says otherwise. */
    public T body(String text) {
        body = text.getBytes(java.nio.charset.StandardCharsets.UTF_8);
        return self();
    }

    /** Sets the body. */
    public T body(byte[] bytes) {
        body = bytes.clone();
        return self();
    }
}
