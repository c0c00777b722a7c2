package @PACKAGE@;

import @PACKAGE@.model.*;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;

/** A client of @TITLE@. It can be used by many threads at once. */
public final class @SERVICE@ implements AutoCloseable {
    private final HttpClient http = HttpClient.newHttpClient();
    private final Builder settings;

    private @SERVICE@(Builder settings) {
        this.settings = settings;
    }

    /** A client is built from its settings. */
    public static Builder builder() {
        return new Builder();
    }

    /** Where the API is, and how to call it. */
    public static final class Builder {
        private String endpoint = @URL@;
        private String apiKey;
        private String region = @REGION@;
        private String accessKey;
        private String secretKey;
        private String sessionToken;
        private Duration timeout = Duration.ofSeconds(30);

        private Builder() {}

        /** Where the API is served, with its stage. */
        public Builder endpoint(String url) {
            endpoint = url.replaceAll("/+$", "");
            return this;
        }

        /** The API key that every request carries. */
        public Builder apiKey(String key) {
            apiKey = key;
            return this;
        }

        /** The region in signatures. */
        public Builder region(String name) {
            region = name;
            return this;
        }

        /** The credentials that methods with IAM authorization are called with; the token may be null. */
        public Builder iamCredentials(String accessKey, String secretKey, String sessionToken) {
            this.accessKey = accessKey;
            this.secretKey = secretKey;
            this.sessionToken = sessionToken;
            return this;
        }

        /** How long a request may take. */
        public Builder timeout(Duration limit) {
            timeout = limit;
            return this;
        }

        /** The client. */
        public @SERVICE@ build() {
            return new @SERVICE@(this);
        }
    }

    /** Nothing is held that would have to be given back; here for those who write it. */
    public void shutdown() {}

    @Override
    public void close() {
        shutdown();
    }

    private interface Make<R> {
        R result(int statusCode, java.net.http.HttpHeaders headers, byte[] body);
    }

    private <R> R send(String verb, String template, boolean signed, ApiRequest<?> request, Make<R> make) {
        String path = Urls.expand(template, request.path);
        String query = Urls.query(request.query);
        URI address = URI.create(settings.endpoint + path + (query.isEmpty() ? "" : "?" + query));
        HttpRequest.BodyPublisher body = request.body.length == 0
                ? HttpRequest.BodyPublishers.noBody()
                : HttpRequest.BodyPublishers.ofByteArray(request.body);
        HttpRequest.Builder builder =
                HttpRequest.newBuilder(address).method(verb, body).timeout(settings.timeout);
        boolean typed = request.headers.keySet().stream().anyMatch("content-type"::equalsIgnoreCase);
        if (request.body.length > 0 && !typed) {
            builder.header("Content-Type", "application/json");
        }
        request.headers.forEach((name, values) -> values.forEach(value -> builder.header(name, value)));
        if (settings.apiKey != null) {
            builder.header("x-api-key", settings.apiKey);
        }
        if (signed && settings.accessKey != null) {
            Signer signer =
                    new Signer(settings.accessKey, settings.secretKey, settings.sessionToken, settings.region);
            signer.headers(verb, address.getRawAuthority(), address.getRawPath(), query, request.body)
                    .forEach(builder::header);
        }
        try {
            HttpResponse<byte[]> answer = http.send(builder.build(), HttpResponse.BodyHandlers.ofByteArray());
            if (answer.statusCode() / 100 != 2) {
                throw new @SERVICE@Exception(answer.statusCode(), answer.body());
            }
            return make.result(answer.statusCode(), answer.headers(), answer.body());
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(interrupted);
        }
    }
@METHODS@}
